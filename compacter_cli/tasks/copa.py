"""SuperGLUE COPA: which of two choices is the premise's cause or effect?

Source: https://people.ict.usc.edu/~gordon/copa.html (BSD 2-clause), TFDS `super_glue/copa:1.0.2`.
400 training and 100 validation examples; the validation set is halved (50 and 50). Reproduces the
COPA column of the paper's Table 2 (accuracy). The paper's text leaves out whether the cause or the
effect is asked for; the task `super_glue/copa_question` is the same with that question behind the
premise.

    premise: My body cast a shadow over the grass. choice1: The sun was rising. choice2: The grass
    was cut.   ->   0
"""

from dataclasses import replace

from compacter_cli.tasks.published import JsonObjects, PublishedTask, super_glue_files

COPA = PublishedTask(
    name="super_glue/copa",
    labels=("choice1", "choice2"),
    fields=("premise", "choice1", "choice2"),
    metrics=("accuracy",),
    rows={"train": 400, "validation": 100},
    paper="copa",
    original=super_glue_files(
        "copa",
        "COPA",
        JsonObjects(("premise", "choice1", "choice2", "question"), (0, 1)),
        "405906cddac74bc1e1ce8220f1107d1025b66a25ef10149d91b10bb30651125f",
    ),
)

COPA_QUESTION = replace(
    COPA,
    name="super_glue/copa_question",
    fields=("premise", "question", "choice1", "choice2"),
    paper=None,
)

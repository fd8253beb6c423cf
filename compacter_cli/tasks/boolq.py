"""SuperGLUE BoolQ: is the answer to the question yes, by the passage?

Source: https://github.com/google-research-datasets/boolean-questions (CC BY-SA 3.0), TFDS
`super_glue/boolq:1.0.2`. 9,427 training and 3,270 validation questions; the validation set is
halved (1,635 and 1,635). Reproduces the BoolQ column of the paper's Table 2 (accuracy). The
question below is made up in the task's form.

    question: is the river longer than the wall passage: The river runs for 90 km, the wall for
    half of that.   ->   1
"""

from compacter_cli.tasks.published import JsonObjects, PublishedTask, super_glue_files

BOOLQ = PublishedTask(
    name="super_glue/boolq",
    labels=("False", "True"),
    fields=("question", "passage"),
    metrics=("accuracy",),
    rows={"train": 9_427, "validation": 3_270},
    paper="boolq",
    original=super_glue_files(
        "boolq",
        "BoolQ",
        JsonObjects(("question", "passage"), (False, True)),
        "853fbe7922f70c59629f06a39e8d9ca440c3d740e760fd3b87a5ddf3dcba2436",
    ),
)

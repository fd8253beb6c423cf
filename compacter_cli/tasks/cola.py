"""GLUE CoLA: is the sentence acceptable English?

Source: https://nyu-mll.github.io/CoLA/ (sentences of published linguistics, used under fair use;
the archive states no licence), TFDS `glue/cola:2.0.0`. 8,551 training and 1,043 validation
sentences; the validation set is halved (521 validate, 522 test). Reproduces the CoLA column of the
paper's Table 1 (Matthews correlation). The files have no header: source, label, original mark,
sentence.

    sentence: Our friends won't buy this analysis, let alone the next one we propose.   ->   1
"""

from compacter_cli.tasks.published import PublishedTask, Table, glue_files, named

COLA = PublishedTask(
    name="glue/cola",
    labels=("unacceptable", "acceptable"),
    fields=("sentence",),
    metrics=("matthews",),
    rows={"train": 8_551, "validation": 1_043},
    paper="cola",
    original=glue_files(
        "cola",
        "CoLA",
        Table(
            named("sentence"),
            label="is_acceptable",
            values=("0", "1"),
            header=("source", "is_acceptable", "original_mark", "sentence"),
        ),
        "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff",
    ),
)

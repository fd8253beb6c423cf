"""GLUE RTE: does the second text follow from the first?

Source: https://gluebenchmark.com (PASCAL RTE 1-3 and 5; the archive states no licence), TFDS
`glue/rte:2.0.0`. 2,490 training and 277 validation pairs; the test labels are not public, so the
validation set is halved as in the paper (138 validate, 139 test). Reproduces the RTE column of
the paper's Table 1 (accuracy).

    sentence1: No Weapons of Mass Destruction Found in Iraq Yet. sentence2: Weapons of Mass
    Destruction Found in Iraq.   ->   1
"""

from compacter_cli.tasks.published import PublishedTask, Table, glue_files, named

LABELS = ("entailment", "not_entailment")

RTE = PublishedTask(
    name="glue/rte",
    labels=LABELS,
    fields=("sentence1", "sentence2"),
    metrics=("accuracy",),
    rows={"train": 2_490, "validation": 277},
    paper="rte",
    original=glue_files(
        "rte",
        "RTE",
        Table(named("sentence1", "sentence2"), values=LABELS),
        "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee",
    ),
)

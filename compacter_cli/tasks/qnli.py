"""GLUE QNLI: does the sentence answer the question?

Source: https://rajpurkar.github.io/SQuAD-explorer (made from SQuAD 1.1, CC BY-SA 4.0), TFDS
`glue/qnli:2.0.0`. 104,743 training and 5,463 validation pairs; 1,000 training pairs validate, the
validation set is the test. Reproduces the QNLI column of the paper's Table 1 (accuracy). The pair
below is made up in the task's form.

    question: Who wrote the letter? sentence: The letter was found in 1901 in a barn.   ->   1
"""

from compacter_cli.tasks.published import PublishedTask, Table, glue_files, named
from compacter_cli.tasks.splits import HELD_OUT_TRAINING

LABELS = ("entailment", "not_entailment")

QNLI = PublishedTask(
    name="glue/qnli",
    labels=LABELS,
    fields=("question", "sentence"),
    metrics=("accuracy",),
    rows={"train": 104_743, "validation": 5_463},
    split=HELD_OUT_TRAINING,
    paper="qnli",
    original=glue_files(
        "qnli",
        "QNLI",
        Table(named("question", "sentence"), values=LABELS),
        "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5",
        archive="QNLIv2.zip",
    ),
)

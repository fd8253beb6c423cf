"""GLUE QQP: do the two questions ask the same?

Source: https://quoradata.quora.com/First-Quora-Dataset-Release-Question-Pairs (under Quora's terms
of service, not for commerce), TFDS `glue/qqp:2.0.0`. 363,846 training and 40,430 validation pairs;
1,000 training pairs validate, the validation set is the test. Reproduces the QQP columns of the
paper's Table 1 (accuracy and F1 of "duplicate"). The pair
below is made up in the task's form.

    question1: How do I learn to swim? question2: What is the best way to learn swimming?   ->   1
"""

from compacter_cli.tasks.published import PublishedTask, Table, glue_files, named
from compacter_cli.tasks.splits import HELD_OUT_TRAINING

QQP = PublishedTask(
    name="glue/qqp",
    labels=("not_duplicate", "duplicate"),
    fields=("question1", "question2"),
    metrics=("accuracy", "f1"),
    rows={"train": 363_846, "validation": 40_430},
    split=HELD_OUT_TRAINING,
    paper="qqp",
    original=glue_files(
        "qqp",
        "QQP",
        Table(named("question1", "question2"), label="is_duplicate", values=("0", "1")),
        "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0",
    ),
)

"""GLUE MNLI: does the premise entail the hypothesis, contradict it, or neither?

Source: https://cims.nyu.edu/~sbowman/multinli (most of it under the OANC's licence, the fiction
under CC BY 3.0 and CC BY-SA 3.0), TFDS `glue/mnli:2.0.0`. 392,702 training pairs, 9,815 matched and
9,832 mismatched validation pairs. As in the paper's released runs, the mismatched pairs validate
and the matched ones are the test. Reproduces the MNLI column of the paper's Table 1 (accuracy).

    premise: Conceptually cream skimming has two basic dimensions - product and geography.
    hypothesis: Product and geography are what make cream skimming work.   ->   1
"""

from compacter_cli.tasks.published import PublishedTask, Table, glue_files
from compacter_cli.tasks.splits import MISMATCHED_MATCHED

LABELS = ("entailment", "neutral", "contradiction")

MNLI = PublishedTask(
    name="glue/mnli",
    labels=LABELS,
    fields=("premise", "hypothesis"),
    metrics=("accuracy",),
    rows={
        "train": 392_702,
        "validation_matched": 9_815,
        "validation_mismatched": 9_832,
    },
    split=MISMATCHED_MATCHED,
    paper="mnli",
    original=glue_files(
        "mnli",
        "MNLI",
        Table(
            {"premise": "sentence1", "hypothesis": "sentence2"},
            label="gold_label",
            values=LABELS,
        ),
        "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633",
        files={
            "train": "train.tsv",
            "validation_matched": "dev_matched.tsv",
            "validation_mismatched": "dev_mismatched.tsv",
        },
    ),
)

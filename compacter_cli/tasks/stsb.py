"""GLUE STS-B: how alike are the two sentences, from 0 to 5?

Source: http://ixa2.si.ehu.eus/stswiki (STS benchmark; its LICENSE.txt lists the licence of every
part), TFDS `glue/stsb:2.0.0`. 5,749 training and 1,500 validation pairs; the validation set is
halved (750 and 750). The score is rounded to the nearest 0.2 and written with one decimal, so the
answers are the 26 texts "0.0" to "5.0". Reproduces the STS-B columns of the paper's Table 1
(Pearson and Spearman correlation with the rounded score; the raw score's stand beside them).

    sentence1: A man is playing a large flute. sentence2: A man is playing a flute.   ->   3.8
"""

from compacter_cli.tasks.base import Row
from compacter_cli.tasks.published import PublishedTask, Table, glue_files, named

STEPS = 5  # answers to a point of the score


class STSBTask(PublishedTask):
    """Rows have a float `label` from 0 to 5; the answer is that score as text."""

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(f"{step / STEPS:.1f}" for step in range(5 * STEPS + 1))

    def target(self, row: Row) -> str:
        # By six digits: TFDS keeps scores as float32, and 3.1 is a tie.
        exact = float(format(row["label"], ".6f"))
        return f"{round(exact * STEPS) / STEPS:.1f}"

    def problem(self, row: Row) -> str | None:
        if 0.0 <= row["label"] <= 5.0:
            return None
        return f"has the score {row['label']!r}, expected 0 to 5"

    def label_of(self, target: str) -> str | None:
        return target if target in self.targets else None


STSB = STSBTask(
    name="glue/stsb",
    fields=("sentence1", "sentence2"),
    metrics=("pearson", "spearman"),
    beside=("raw_pearson", "raw_spearman"),
    rows={"train": 5_749, "validation": 1_500},
    paper="stsb",
    original=glue_files(
        "stsb",
        "STS-B",
        Table(named("sentence1", "sentence2"), label="score"),
        "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85",
    ),
)

"""Demo: how alike are the two sentences, from 0 to 5? A small STS-B.

Made from a seed in the demo world (`compacter_cli/world`); nothing to download. 2,500 training
and 1,000 validation pairs; the validation set is halved. The score is exact: twice the likeness
of the subjects and of the objects (1 the same, 0.75 hypernym, 0.5 same class, 0.25 same family,
0 unrelated) plus 1 where the verbs mean the same. No row of the paper.

    sentence1: A terrier chased two moths. sentence2: Some ants were pursued by a dog.   ->   3.5
"""

from random import Random
from typing import TYPE_CHECKING

from compacter_cli.tasks.base import DemoTask, Row

if TYPE_CHECKING:
    from compacter_cli.world.lexicon import Words


class SimilarityTask(DemoTask):
    """Rows hold two sentences and a float `label`; the answer is that score as text."""

    @property
    def targets(self) -> tuple[str, ...]:
        return tuple(f"{step / 2:.1f}" for step in range(11))

    def target(self, row: Row) -> str:
        return f"{row['label']:.1f}"

    def problem(self, row: Row) -> str | None:
        if 2 * row["label"] in range(11):
            return None
        return f"has the score {row['label']!r}, expected 0 to 5 in halves"

    def label_of(self, target: str) -> str | None:
        return target if target in self.targets else None

    def row(self, draw: Random, words: "Words", label: int) -> Row:
        from compacter_cli.world.clauses import Speaker
        from compacter_cli.world.likeness import compared, likeness

        first, second = compared(Speaker(draw, words))
        return {
            "sentence1": first.sentence(),
            "sentence2": second.sentence(),
            "label": likeness(first, second),
        }


SIMILARITY = SimilarityTask(
    name="demo/similarity",
    fields=("sentence1", "sentence2"),
    metrics=("pearson", "spearman"),
    rows={"train": 2_500, "validation": 1_000},
)

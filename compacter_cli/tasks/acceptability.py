"""Demo: is the sentence acceptable English? A small CoLA.

Made from a seed in the demo world (`compacter_cli/world`); nothing to download. 2,500 training
and 1,000 validation sentences, half of them with one fault (agreement, number, verb form, order,
article, two determiners); the validation set is halved. No row of the paper.

    sentence: Some terriers chases a sparrow.   ->   0
"""

from random import Random
from typing import TYPE_CHECKING

from compacter_cli.tasks.base import DemoTask, Row

if TYPE_CHECKING:
    from compacter_cli.world.lexicon import Words


class AcceptabilityTask(DemoTask):
    """Rows hold a `sentence`; the label is 1 where it has no fault."""

    def row(self, draw: Random, words: "Words", label: int) -> Row | None:
        from compacter_cli.world.clauses import Speaker
        from compacter_cli.world.faults import faulty

        speaker = Speaker(draw, words)
        clause = speaker.clause()
        text = clause.sentence() if label else faulty(speaker, clause)
        return {"sentence": text} if text else None


ACCEPTABILITY = AcceptabilityTask(
    name="demo/acceptability",
    labels=("unacceptable", "acceptable"),
    fields=("sentence",),
    metrics=("matthews",),
    rows={"train": 2_500, "validation": 1_000},
)

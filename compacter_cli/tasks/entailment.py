"""Demo: does the hypothesis follow from the premise? A small RTE.

Made from a seed in the demo world (`compacter_cli/world`); nothing to download. 2,500 training
pairs, about as many as RTE has, and 1,000 validation pairs, half of each label; the validation
set is halved. What follows is decided by hypernyms and quantifiers. No row of the paper.

    premise: No dog chased Anna. hypothesis: Anna was chased by a terrier.   ->   1
"""

from random import Random
from typing import TYPE_CHECKING

from compacter_cli.tasks.base import DemoTask, Row

if TYPE_CHECKING:
    from compacter_cli.world.lexicon import Words


class EntailmentTask(DemoTask):
    """Rows hold a `premise` and a `hypothesis`; the label is 0 where it follows, as in RTE."""

    def row(self, draw: Random, words: "Words", label: int) -> Row:
        from compacter_cli.world.clauses import Speaker
        from compacter_cli.world.meaning import inference

        premise, hypothesis = inference(Speaker(draw, words), follows_=label == 0)
        return {"premise": premise.sentence(), "hypothesis": hypothesis.sentence()}


ENTAILMENT = EntailmentTask(
    name="demo/entailment",
    labels=("entailment", "not_entailment"),
    fields=("premise", "hypothesis"),
    metrics=("accuracy",),
    rows={"train": 2_500, "validation": 1_000},
)

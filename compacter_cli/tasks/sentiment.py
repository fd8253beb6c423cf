"""Demo: is the opinion positive? A small SST-2.

Made from a seed in the demo world (`compacter_cli/world`); nothing to download. 2,500 training
and 1,000 validation sentences; negation and contrast turn words round, so that counting good and
bad words does not answer it. The validation set is halved. No row of the paper.

    sentence: The meal was anything but dull.   ->   1
"""

from random import Random
from typing import TYPE_CHECKING

from compacter_cli.tasks.base import DemoTask, Row

if TYPE_CHECKING:
    from compacter_cli.world.lexicon import Words


class SentimentTask(DemoTask):
    """Rows hold a `sentence`; the label is 1 where its opinion is positive."""

    def row(self, draw: Random, words: "Words", label: int) -> Row:
        from compacter_cli.world.opinions import Critic

        return {"sentence": Critic(draw, words, "task").opinion(bool(label))}


SENTIMENT = SentimentTask(
    name="demo/sentiment",
    labels=("negative", "positive"),
    fields=("sentence",),
    metrics=("accuracy",),
    rows={"train": 2_500, "validation": 1_000},
)

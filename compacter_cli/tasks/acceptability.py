"""Demo: is the sentence acceptable English? A small CoLA.

Made from a seed in the demo world (`compacter_cli/world`); nothing to download. 2,500 training
and 1,000 validation sentences, half of them with one fault (agreement, number, verb form, order,
article, two determiners); the validation set is halved. No row of the paper.

    sentence: Some terriers chases a sparrow.   ->   0
"""

from dataclasses import dataclass

from compacter_cli.tasks.base import DemoTask
from compacter_cli.world.clauses import Speaker
from compacter_cli.world.faults import faulty


@dataclass(frozen=True)
class AcceptabilityTask(DemoTask):
    """Rows hold a `sentence`; the label is 1 where it has no fault."""

    def row(self, draw, words, label):
        speaker = Speaker(draw, words)
        clause = speaker.clause()
        text = clause.sentence() if label else faulty(speaker, clause)
        return text and {"sentence": text}


ACCEPTABILITY = AcceptabilityTask(
    name="demo/acceptability",
    labels=("unacceptable", "acceptable"),
    fields=("sentence",),
    metrics=("matthews",),
    rows={"train": 2_500, "validation": 1_000},
)

"""Predictions to scores, beside what always giving the most frequent answer scores."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compacter_cli.tasks.metrics import METRICS, Answers
from compacter_cli.training.processes import ALONE, Processes
from compacter_cli.training.records import ScoresRecord
from compacter_cli.training.signals import StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from compacter_cli.data.dataset import Dataset, Split
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.vocabulary import Vocabulary
    from compacter_cli.tasks.base import Row, Task

DIGITS = 10  # of a score: 57.0 rather than 56.99999999999999


@dataclass(frozen=True)
class Scores:
    """How a split was answered.

    Attributes:
        metrics: value of each of the task's metrics, 0 to 100.
        majority: the same metrics for giving the split's most frequent answer throughout.
        count: examples scored.
        invalid: predictions that the task does not know (no label, no entity of the passage).
        beside: metrics that are shown and choose nothing.
    """

    metrics: dict[str, float]
    majority: dict[str, float]
    count: int
    invalid: int
    beside: dict[str, float] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Mean of the metrics: what the best epoch is chosen by."""
        return sum(self.metrics.values()) / len(self.metrics)

    @property
    def constant(self) -> bool:
        """Whether no metric differs from the most frequent answer's."""
        return self.metrics == self.majority

    def record(self) -> ScoresRecord:
        """The scores as plain data; `beside` only where the task has such metrics."""
        found: ScoresRecord = {
            "metrics": self.metrics,
            "majority": self.majority,
            "count": self.count,
            "invalid": self.invalid,
            "mean": self.mean,
        }
        if self.beside:
            found["beside"] = self.beside
        return found


def score(task: Task, rows: Sequence[Row], predicted: list[str]) -> Scores:
    """The `Scores` of `predicted` texts, one for each of a split's `rows`."""
    given = Answers(task, rows, predicted)
    most_frequent, _ = Counter(given.gold).most_common(1)[0]
    constant = Answers(task, rows, [most_frequent] * len(rows))
    pairs = zip(rows, predicted, strict=True)
    return Scores(
        metrics=measured(task.metrics, given),
        majority=measured(task.metrics, constant),
        count=len(rows),
        invalid=sum(not task.allows(row, text) for row, text in pairs),
        beside=measured(task.beside, given),
    )


def measured(names: Iterable[str], answers: Answers) -> dict[str, float]:
    """Metrics by their names, in percent."""
    return {name: percent(METRICS[name](answers)) for name in names}


def percent(share: float) -> float:
    """A share as scores are written."""
    return round(100 * share, DIGITS)


def answer(
    model: T5Model,
    vocabulary: Vocabulary,
    split: Split,
    batch_size: int,
    max_tokens: int,
    device: str,
    stop: Callable[[], bool] = lambda: False,
    processes: Processes = ALONE,
) -> list[str]:
    """The model's greedy answers to a split, as text, in the split's order.

    Every one of several processes answers a share of the rows, and has all answers in the end.

    Raises:
        StoppedError: `stop()` is true after a batch.
    """
    import torch

    from compacter_cli.data.dataset import collated

    answers = []
    with torch.no_grad():
        forward = model.forward_pass()  # once: some methods compute every weight
    own = processes.share(range(len(split)))
    largest = -(-len(split) // processes.count)
    for start in range(0, largest, batch_size):
        if chosen := own[start : start + batch_size]:
            batch = collated(split, chosen, device)
            ids = model.greedy(batch.source_ids, batch.source_mask, max_tokens, forward)
            answers += [vocabulary.decode(row) for row in ids.tolist()]
        if stop():
            raise StoppedError
    return processes.in_order(answers)


def evaluate(
    model: T5Model,
    vocabulary: Vocabulary,
    task: Task,
    dataset: Dataset,
    split_name: str,
    batch_size: int,
    device: str,
    stop: Callable[[], bool] = lambda: False,
    processes: Processes = ALONE,
) -> tuple[Scores, list[str]]:
    """`(Scores, predicted texts)` of a model on one split of a dataset, as `answer` has them."""
    split, longest = dataset.split(split_name), dataset.answer_length
    predicted = answer(model, vocabulary, split, batch_size, longest, device, stop, processes)
    return score(task, split.rows, predicted), predicted

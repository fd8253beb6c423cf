"""Predictions to scores, beside what always giving the most frequent answer scores."""

from collections import Counter
from dataclasses import asdict, dataclass, field

from compacter_cli.tasks.metrics import METRICS, Answers

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
    def mean(self):
        """Mean of the metrics: what the best epoch is chosen by."""
        return sum(self.metrics.values()) / len(self.metrics)

    @property
    def constant(self):
        """Whether no metric differs from the most frequent answer's."""
        return self.metrics == self.majority

    def as_dict(self):
        """The scores as plain data; `beside` only where the task has such metrics."""
        plain = {**asdict(self), "mean": self.mean}
        if not self.beside:
            del plain["beside"]
        return plain


def score(task, rows, predicted):
    """The `Scores` of `predicted` texts, one for each of a split's `rows`."""
    given = Answers(task, rows, predicted)
    most_frequent, _ = Counter(given.gold).most_common(1)[0]
    constant = Answers(task, rows, [most_frequent] * len(rows))
    pairs = zip(rows, predicted, strict=True)
    return Scores(
        metrics=_measured(task.metrics, given),
        majority=_measured(task.metrics, constant),
        count=len(rows),
        invalid=sum(not task.allows(row, text) for row, text in pairs),
        beside=_measured(task.beside, given),
    )


def _measured(names, answers):
    return {name: round(100 * METRICS[name](answers), DIGITS) for name in names}


def answer(model, vocabulary, split, batch_size, max_tokens, device):
    """The model's greedy answers to a split, as text, in the split's order."""
    import torch

    from compacter_cli.data.dataset import batches

    answers = []
    with torch.no_grad():
        forward = model.forward_pass()  # once: some methods compute every weight
    for batch in batches(split, batch_size, device):
        ids = model.greedy(batch.source_ids, batch.source_mask, max_tokens, forward)
        answers += [vocabulary.decode(row) for row in ids.tolist()]
    return answers


def evaluate(model, vocabulary, task, dataset, split_name, batch_size, device):
    """`(Scores, predicted texts)` of a model on one split of a dataset."""
    split = dataset.split(split_name)
    predicted = answer(model, vocabulary, split, batch_size, dataset.answer_length, device)
    return score(task, split.rows, predicted), predicted

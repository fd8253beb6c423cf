"""Predictions to scores, on a scale of 0 to 100, beside what always guessing one label gives."""

from collections import Counter
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Scores:
    """How a split was answered.

    Attributes:
        metrics: value of each of the task's metrics, 0 to 100.
        majority: the same metrics for answering the split's most frequent label throughout.
        count: examples scored.
        invalid: predictions that are no label of the task; each counts as wrong.
    """

    metrics: dict[str, float]
    majority: dict[str, float]
    count: int
    invalid: int

    @property
    def mean(self):
        """Mean of the metrics: what the best epoch is chosen by."""
        return sum(self.metrics.values()) / len(self.metrics)

    @property
    def constant(self):
        """Whether no metric differs from the majority label's."""
        return self.metrics == self.majority

    def as_dict(self):
        return {**asdict(self), "mean": self.mean}


def score(task, gold, predicted):
    """The `Scores` of `predicted` target texts against the `gold` ones."""
    most_frequent, _ = Counter(gold).most_common(1)[0]
    return Scores(
        metrics={name: METRICS[name](gold, predicted) for name in task.metrics},
        majority={name: METRICS[name](gold, [most_frequent] * len(gold)) for name in task.metrics},
        count=len(gold),
        invalid=sum(text not in task.targets for text in predicted),
    )


def accuracy(gold, predicted):
    """Share of equal texts, 0 to 100."""
    from sklearn.metrics import accuracy_score

    return 100.0 * float(accuracy_score(gold, predicted))


METRICS = {"accuracy": accuracy}


def answer(model, vocabulary, split, batch_size, max_tokens, device):
    """The model's greedy answers to a split, as text, in the split's order."""
    import torch

    from compacter_cli.dataset import batches

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
    predicted = answer(model, vocabulary, split, batch_size, dataset.longest_target, device)
    return score(task, split.labels, predicted), predicted

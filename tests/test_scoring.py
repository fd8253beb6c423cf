"""Scores: against scikit-learn and by hand."""

import random
from types import SimpleNamespace

import pytest
import torch
from sklearn.metrics import accuracy_score

from compacter_cli.dataset import Dataset, Split
from compacter_cli.scoring import METRICS, Scores, accuracy, answer, evaluate, score
from compacter_cli.tasks import TASKS

RTE = TASKS["glue/rte"]


def test_accuracy_is_scikit_learns_in_percent():
    draw = random.Random(0)
    gold = draw.choices(["0", "1"], k=101)
    predicted = draw.choices(["0", "1", "maybe"], k=101)
    assert accuracy(gold, predicted) == pytest.approx(100 * accuracy_score(gold, predicted))


def test_accuracy_by_hand():
    assert accuracy(["0", "1", "1", "0"], ["0", "1", "0", "0"]) == 75.0
    assert accuracy(["0"], ["0"]) == 100.0
    assert accuracy(["0"], ["1"]) == 0.0


def test_the_majority_is_the_score_of_the_most_frequent_label():
    scores = score(RTE, ["0", "1", "1", "1", "0"], ["0", "0", "1", "1", "1"])
    assert scores.metrics == {"accuracy": 60.0}
    assert scores.majority == {"accuracy": 60.0}
    scores = score(RTE, ["0", "1", "0", "0"], ["0", "1", "0", "0"])
    assert scores.metrics == {"accuracy": 100.0}
    assert scores.majority == {"accuracy": 75.0}


@pytest.mark.parametrize("invalid", ["", "2", "entailment", "00", " 0", "0 0", "０"])
def test_a_prediction_that_is_no_label_is_counted_and_wrong(invalid):
    scores = score(RTE, ["0", "1", "0", "0"], [invalid, "1", "0", "0"])
    assert scores.invalid == 1
    assert scores.metrics == {"accuracy": 75.0}
    assert scores.count == 4


def test_valid_but_wrong_is_not_invalid():
    assert score(RTE, ["0", "1"], ["1", "0"]).invalid == 0


def test_no_better_than_the_majority_is_flagged():
    gold = ["1", "1", "0"]
    assert score(RTE, gold, ["1", "1", "1"]).constant is True
    assert score(RTE, gold, ["1", "1", "0"]).constant is False
    assert score(RTE, gold, ["0", "0", "0"]).constant is False


def test_the_mean_is_over_all_metrics():
    scores = Scores({"a": 50.0, "b": 100.0}, {"a": 0.0, "b": 0.0}, count=2, invalid=0)
    assert scores.mean == 75.0
    assert scores.as_dict() == {
        "metrics": {"a": 50.0, "b": 100.0},
        "majority": {"a": 0.0, "b": 0.0},
        "count": 2,
        "invalid": 0,
        "mean": 75.0,
    }


@pytest.mark.parametrize("name", TASKS)
def test_every_metric_of_a_task_is_known(name):
    assert set(TASKS[name].metrics) <= set(METRICS)


class Echo:
    """A model that answers the first token of each source."""

    def __init__(self):
        self.calls = []

    def forward_pass(self):
        return "the weights as they are"

    def greedy(self, ids, mask, max_tokens, forward):
        assert forward == "the weights as they are"  # made once, not for every batch
        self.calls.append((tuple(ids.shape), int(mask.sum()), max_tokens))
        return ids[:, :1]


VOCABULARY = SimpleNamespace(decode=lambda ids: str(ids[0] - 10))


def _split(first_tokens):
    sources = [[token, *[5] * extra, 1] for extra, token in enumerate(first_tokens)]
    labels = [str(token - 10) for token in first_tokens]
    return Split("test", sources, [[3, 1]] * len(sources), labels, 0)


def test_answers_come_in_the_splits_order_over_all_batches():
    model = Echo()
    split = _split([10, 11, 11, 10, 12])
    assert answer(model, VOCABULARY, split, 2, 7, "cpu") == ["0", "1", "1", "0", "2"]
    # sources are 2, 3, 4, 5 and 6 tokens long; each batch is as wide as its own longest
    assert model.calls == [((2, 3), 5, 7), ((2, 5), 9, 7), ((1, 6), 6, 7)]


def test_evaluate_scores_one_split_decoding_as_far_as_the_longest_target():
    split, other = _split([10, 11, 12]), _split([10])
    dataset = Dataset(train=other, validation=other, test=split, longest_target=9, origin={})
    model = Echo()
    scores, predicted = evaluate(model, VOCABULARY, RTE, dataset, "test", 3, torch.device("cpu"))
    assert predicted == ["0", "1", "2"]
    assert scores.count == 3
    assert scores.invalid == 1  # "2" is no label of RTE, though the made-up gold holds it
    assert model.calls[0][2] == 9

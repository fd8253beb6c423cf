"""Scores: percentages beside the most frequent answer's, and what the task does not know."""

from types import SimpleNamespace

import pytest
import torch

from compacter_cli.data.dataset import Dataset, Split
from compacter_cli.tasks import TASKS
from compacter_cli.tasks.metrics import METRICS, Answers
from compacter_cli.training.scoring import Scores, answer, evaluate, score

RTE, CB, MRPC, STSB = (
    TASKS[name] for name in ("glue/rte", "super_glue/cb", "glue/mrpc", "glue/stsb")
)
RECORD = TASKS["super_glue/record"]


def _rows(labels):
    return [{"idx": place, "label": label} for place, label in enumerate(labels)]


def test_the_majority_is_the_score_of_the_most_frequent_label():
    scores = score(RTE, _rows([0, 1, 1, 1, 0]), ["0", "0", "1", "1", "1"])
    assert scores.metrics == {"accuracy": 60.0}
    assert scores.majority == {"accuracy": 60.0}
    scores = score(RTE, _rows([0, 1, 0, 0]), ["0", "1", "0", "0"])
    assert scores.metrics == {"accuracy": 100.0}
    assert scores.majority == {"accuracy": 75.0}


def test_every_metric_of_the_task_is_measured_in_its_order():
    scores = score(MRPC, _rows([1, 1, 1, 0]), ["1", "1", "0", "0"])
    assert list(scores.metrics.items()) == [("accuracy", 75.0), ("f1", 80.0)]
    # "1" throughout: 3 of 4 right; precision 3/4, recall 1
    assert scores.majority == {"accuracy": 75.0, "f1": round(600 / 7, 10)}
    assert scores.mean == 77.5


@pytest.mark.parametrize("right", range(101))
def test_scores_are_percentages_without_the_dust_of_floats(right):
    predicted = ["0"] * right + ["1"] * (100 - right)
    assert score(RTE, _rows([0] * 100), predicted).metrics == {"accuracy": float(right)}


@pytest.mark.parametrize("invalid", ["", "2", "entailment", "00", " 0", "0 0", "０"])
def test_a_prediction_that_is_no_label_is_counted_and_wrong(invalid):
    scores = score(RTE, _rows([0, 1, 0, 0]), [invalid, "1", "0", "0"])
    assert scores.invalid == 1
    assert scores.metrics == {"accuracy": 75.0}
    assert scores.count == 4


def test_valid_but_wrong_is_not_invalid():
    assert score(RTE, _rows([0, 1]), ["1", "0"]).invalid == 0


def test_an_answer_must_come_for_every_row():
    with pytest.raises(ValueError, match="zip"):
        score(RTE, _rows([0, 1]), ["1"])


def test_no_better_than_the_majority_is_flagged():
    rows = _rows([1, 1, 0])
    assert score(RTE, rows, ["1", "1", "1"]).constant is True
    assert score(RTE, rows, ["1", "1", "0"]).constant is False
    assert score(RTE, rows, ["0", "0", "0"]).constant is False


def test_an_invalid_answer_of_three_labels_is_none_of_them():
    scores = score(CB, _rows([0, 1, 2]), ["0", "1", "neutral"])
    assert scores.invalid == 1
    assert scores.metrics == {
        "accuracy": round(200 / 3, 10),
        "macro_f1": round(200 / 3, 10),
    }
    assert scores.majority["accuracy"] == round(100 / 3, 10)
    assert scores.majority["macro_f1"] == round(50 / 3, 10)


def test_stsb_is_chosen_by_rounded_scores_with_raw_ones_beside():
    rows, predicted = _rows([1.0, 2.04, 2.96, 4.0]), ["1.0", "2.0", "3.0", "x"]
    scores = score(STSB, rows, predicted)
    answers = Answers(STSB, rows, predicted)
    assert list(scores.metrics) == ["pearson", "spearman"]
    assert list(scores.beside) == ["raw_pearson", "raw_spearman"]
    for name, value in {**scores.metrics, **scores.beside}.items():
        assert value == pytest.approx(100 * METRICS[name](answers))
    assert scores.metrics["pearson"] != scores.beside["raw_pearson"]
    assert scores.mean == sum(scores.metrics.values()) / 2
    assert scores.majority == {"pearson": 0.0, "spearman": 0.0}
    assert scores.invalid == 1
    assert scores.record()["beside"] == scores.beside


def test_records_answers_are_invalid_where_the_passage_has_no_such_entity():
    row = {"idx": 0, "entities": ["Ada", "Oslo"], "answers": ["Ada"]}
    rows = [row, row, {**row, "answers": ["Oslo", "Ada"]}, row]
    scores = score(RECORD, rows, ["the Ada", "Oslo", "ada", "Bergen"])
    assert scores.metrics == {"token_f1": 50.0, "exact_match": 50.0}
    assert scores.majority == {"token_f1": 100.0, "exact_match": 100.0}
    assert scores.invalid == 1


def test_the_mean_is_over_all_metrics():
    scores = Scores({"a": 50.0, "b": 100.0}, {"a": 0.0, "b": 0.0}, count=2, invalid=0)
    assert scores.mean == 75.0
    assert scores.record() == {
        "metrics": {"a": 50.0, "b": 100.0},
        "majority": {"a": 0.0, "b": 0.0},
        "count": 2,
        "invalid": 0,
        "mean": 75.0,
    }


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
    rows = _rows([token - 10 for token in first_tokens])
    return Split("test", sources, [[3, 1]] * len(sources), rows, 0)


def test_answers_come_in_the_splits_order_over_all_batches():
    model = Echo()
    split = _split([10, 11, 11, 10, 12])
    assert answer(model, VOCABULARY, split, 2, 7, "cpu") == ["0", "1", "1", "0", "2"]
    # sources are 2, 3, 4, 5 and 6 tokens long; each batch is as wide as its own longest
    assert model.calls == [((2, 3), 5, 7), ((2, 5), 9, 7), ((1, 6), 6, 7)]


def test_evaluate_scores_one_split_decoding_as_far_as_an_answer_goes():
    split, other = _split([10, 11, 12]), _split([10])
    dataset = Dataset(train=other, validation=other, test=split, answer_length=9, origin={})
    model = Echo()
    scores, predicted = evaluate(model, VOCABULARY, RTE, dataset, "test", 3, torch.device("cpu"))
    assert predicted == ["0", "1", "2"]
    assert scores.count == 3
    assert scores.invalid == 1  # "2" is no label of RTE, though the made-up gold holds it
    assert model.calls[0][2] == 9

"""QNLI: question and sentence, 1,000 training rows validate."""

from compacter_cli.tasks import TASKS

QNLI = TASKS["glue/qnli"]
ROW = {
    "idx": 0,
    "question": "Who wrote the letter?",
    "sentence": "The letter was found in 1901 in a barn.",
    "label": 1,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (QNLI.source(ROW), QNLI.target(ROW)) == docstring_example("qnli")


def test_text_by_hand():
    row = {"idx": 1, "question": "a", "sentence": "b", "label": 0}
    assert QNLI.source(row) == "question: a sentence: b"
    assert QNLI.target(row) == "0"


def test_targets_are_label_indices():
    assert QNLI.targets == ("0", "1")
    assert [QNLI.label_of(target) for target in QNLI.targets] == ["entailment", "not_entailment"]


def test_metrics_sizes_and_prefix():
    assert QNLI.metrics == ("accuracy",)
    assert QNLI.rows == {"train": 104743, "validation": 5463}
    assert QNLI.split.sizes(QNLI.rows) == {"train": 103743, "validation": 1000, "test": 5463}
    assert QNLI.prefix == "qnli"

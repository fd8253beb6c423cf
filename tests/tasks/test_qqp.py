"""QQP: two questions, accuracy and F1, 1,000 training rows validate."""

from compacter_cli.tasks import TASKS

QQP = TASKS["glue/qqp"]
ROW = {
    "idx": 0,
    "question1": "How do I learn to swim?",
    "question2": "What is the best way to learn swimming?",
    "label": 1,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (QQP.source(ROW), QQP.target(ROW)) == docstring_example("qqp")


def test_text_by_hand():
    row = {"idx": 1, "question1": "a", "question2": "b", "label": 0}
    assert QQP.source(row) == "question1: a question2: b"
    assert QQP.target(row) == "0"


def test_targets_are_label_indices():
    assert QQP.targets == ("0", "1")
    assert [QQP.label_of(target) for target in QQP.targets] == ["not_duplicate", "duplicate"]


def test_metrics_sizes_and_prefix():
    assert QQP.metrics == ("accuracy", "f1")
    assert QQP.rows == {"train": 363846, "validation": 40430}
    assert QQP.split.sizes(QQP.rows) == {"train": 362846, "validation": 1000, "test": 40430}
    assert QQP.prefix == "qqp"

"""CB: premise and hypothesis, accuracy and macro F1, the validation set halved."""

from compacter_cli.tasks import TASKS

CB = TASKS["super_glue/cb"]
ROW = {
    "idx": 0,
    "premise": (
        "It was a complex language. Not written down but handed down. "
        "One might say it was peeled down."
    ),
    "hypothesis": "the language was peeled down",
    "label": 0,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (CB.source(ROW), CB.target(ROW)) == docstring_example("cb")


def test_text_by_hand():
    row = {"idx": 1, "premise": "a", "hypothesis": "b", "label": 2}
    assert CB.source(row) == "premise: a hypothesis: b"
    assert CB.target(row) == "2"


def test_targets_are_label_indices():
    assert CB.targets == ("0", "1", "2")
    assert [CB.label_of(target) for target in CB.targets] == [
        "entailment",
        "contradiction",
        "neutral",
    ]


def test_metrics_sizes_and_prefix():
    assert CB.metrics == ("accuracy", "macro_f1")
    assert CB.rows == {"train": 250, "validation": 56}
    assert CB.split.sizes(CB.rows) == {"train": 250, "validation": 28, "test": 28}
    assert CB.prefix == "superglue-cb"

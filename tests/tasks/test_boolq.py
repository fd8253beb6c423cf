"""BoolQ: question and passage, the validation set halved."""

from compacter_cli.tasks import TASKS

BOOLQ = TASKS["super_glue/boolq"]
ROW = {
    "idx": 0,
    "question": "is the river longer than the wall",
    "passage": "The river runs for 90 km, the wall for half of that.",
    "label": 1,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (BOOLQ.source(ROW), BOOLQ.target(ROW)) == docstring_example("boolq")


def test_text_by_hand():
    row = {"idx": 1, "question": "a", "passage": "b", "label": 0}
    assert BOOLQ.source(row) == "question: a passage: b"
    assert BOOLQ.target(row) == "0"


def test_targets_are_label_indices():
    assert BOOLQ.targets == ("0", "1")
    assert [BOOLQ.label_of(target) for target in BOOLQ.targets] == ["False", "True"]


def test_metrics_sizes_and_prefix():
    assert BOOLQ.metrics == ("accuracy",)
    assert BOOLQ.rows == {"train": 9427, "validation": 3270}
    assert BOOLQ.split.sizes(BOOLQ.rows) == {"train": 9427, "validation": 1635, "test": 1635}
    assert BOOLQ.prefix == "superglue-boolq"

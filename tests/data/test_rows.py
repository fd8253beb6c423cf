"""Rows as a whole: their number, their labels, their texts."""

import pytest

from compacter_cli.data.rows import Rows, problem_of


def test_counts_are_those_of_every_split():
    assert Rows({"train": [{}, {}], "test": []}, {"way": "generated"}).counts == {
        "train": 2,
        "test": 0,
    }


def test_right_counts_and_labels_are_no_problem(originals):
    for name, task in originals.tasks.items():
        for split, rows in originals.rows[name].items():
            assert problem_of(task, split, rows) is None


@pytest.mark.parametrize("label", [-1, 2])
def test_a_label_of_no_class_is_named_with_its_row(originals, label):
    task = originals.tasks["glue/rte"]
    texts = {"sentence1": "a", "sentence2": "b"}
    rows = [{"idx": 0, **texts, "label": 1}, {"idx": 1, **texts, "label": label}]
    said = f"row 1 has the label {label}, expected 0 to 1"
    assert problem_of(task, "train", rows).startswith(said)
    assert ("is the label column missing?" in problem_of(task, "train", rows)) == (label == -1)


def test_a_field_that_is_no_text_is_named_with_its_row(originals):
    task = originals.tasks["glue/rte"]
    rows = [
        {"idx": 0, "sentence1": "a", "sentence2": "b", "label": 1},
        {"idx": 1, "sentence1": "a", "sentence2": None, "label": 0},
    ]
    assert problem_of(task, "train", rows) == "row 1 has no text in sentence2"


def test_another_number_of_rows_than_was_published_is_named(originals):
    task = originals.tasks["glue/rte"]
    assert problem_of(task, "train", []) == "expected 2 rows, got 0"

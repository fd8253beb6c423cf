"""Acceptability: its text and targets, and every row looked at by an independent recogniser."""

from compacter_cli.tasks import TASKS

ACCEPTABILITY = TASKS["demo/acceptability"]


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example, is_english):
    text, target = docstring_example("acceptability")
    sentence = text.removeprefix("sentence: ")
    assert ACCEPTABILITY.source({"sentence": sentence, "label": 0, "idx": 0}) == text
    assert ACCEPTABILITY.target({"label": 0}) == target == "0"
    assert not is_english(sentence, wide=True)


def test_targets_sizes_and_the_prefix():
    assert ACCEPTABILITY.targets == ("0", "1")
    assert ACCEPTABILITY.label_of("0") == "unacceptable"
    assert ACCEPTABILITY.label_of("1") == "acceptable"
    assert ACCEPTABILITY.metrics == ("matthews",)
    assert ACCEPTABILITY.prefix == "acceptability"


def test_every_row_is_labelled_as_an_independent_recogniser_labels_it(demo_rows, is_english):
    for rows in demo_rows(ACCEPTABILITY).values():
        for row in rows:
            if row["label"]:
                assert is_english(row["sentence"]), row
            else:
                assert not is_english(row["sentence"], wide=True), row

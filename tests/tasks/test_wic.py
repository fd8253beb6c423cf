"""WiC: two sentences and a word, the validation set halved."""

from compacter_cli.tasks import TASKS

WIC = TASKS["super_glue/wic"]
ROW = {
    "idx": 0,
    "word": "place",
    "sentence1": "Do you want to come over to my place later?",
    "sentence2": "A political system with no place for the less prominent groups.",
    "label": 0,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (WIC.source(ROW), WIC.target(ROW)) == docstring_example("wic")


def test_text_by_hand():
    row = {"idx": 1, "word": "c", "sentence1": "a", "sentence2": "b", "label": 1}
    assert WIC.source(row) == "sentence1: a sentence2: b word: c"
    assert WIC.target(row) == "1"


def test_targets_are_label_indices():
    assert WIC.targets == ("0", "1")
    assert [WIC.label_of(target) for target in WIC.targets] == ["False", "True"]


def test_metrics_sizes_and_prefix():
    assert WIC.metrics == ("accuracy",)
    assert WIC.rows == {"train": 5428, "validation": 638}
    assert WIC.split.sizes(WIC.rows) == {"train": 5428, "validation": 319, "test": 319}
    assert WIC.prefix == "superglue-wic"

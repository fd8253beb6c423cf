"""SST-2: one sentence, 1,000 training rows validate."""

from compacter_cli.tasks import TASKS

SST2 = TASKS["glue/sst2"]
ROW = {
    "idx": 0,
    "sentence": "hide new secretions from the parental units",
    "label": 0,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (SST2.source(ROW), SST2.target(ROW)) == docstring_example("sst2")


def test_text_by_hand():
    row = {"idx": 1, "sentence": "good : very", "label": 1}
    assert SST2.source(row) == "sentence: good : very"
    assert SST2.target(row) == "1"


def test_targets_are_label_indices():
    assert SST2.targets == ("0", "1")
    assert [SST2.label_of(target) for target in SST2.targets] == ["negative", "positive"]


def test_metrics_sizes_and_prefix():
    assert SST2.metrics == ("accuracy",)
    assert SST2.rows == {"train": 67349, "validation": 872}
    assert SST2.split.sizes(SST2.rows) == {"train": 66349, "validation": 1000, "test": 872}
    assert SST2.prefix == "sst2"

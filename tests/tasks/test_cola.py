"""CoLA: one sentence, Matthews correlation, the validation set halved."""

from compacter_cli.tasks import TASKS

COLA = TASKS["glue/cola"]
ROW = {
    "idx": 0,
    "sentence": "Our friends won't buy this analysis, let alone the next one we propose.",
    "label": 1,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (COLA.source(ROW), COLA.target(ROW)) == docstring_example("cola")


def test_text_by_hand():
    row = {"idx": 3, "sentence": "Bill floated.", "label": 0}
    assert COLA.source(row) == "sentence: Bill floated."
    assert COLA.target(row) == "0"


def test_targets_are_label_indices():
    assert COLA.targets == ("0", "1")
    assert [COLA.label_of(target) for target in COLA.targets] == ["unacceptable", "acceptable"]


def test_metrics_sizes_and_prefix():
    assert COLA.metrics == ("matthews",)
    assert COLA.rows == {"train": 8551, "validation": 1043}
    assert COLA.split.sizes(COLA.rows) == {"train": 8551, "validation": 521, "test": 522}
    assert COLA.prefix == "cola"

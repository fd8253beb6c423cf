"""MRPC: two sentences, accuracy and F1, the validation set halved."""

from compacter_cli.tasks import TASKS

MRPC = TASKS["glue/mrpc"]
ROW = {
    "idx": 0,
    "sentence1": (
        'Amrozi accused his brother , whom he called " the witness " , '
        "of deliberately distorting his evidence ."
    ),
    "sentence2": (
        'Referring to him as only " the witness " , Amrozi accused his brother '
        "of deliberately distorting his evidence ."
    ),
    "label": 1,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (MRPC.source(ROW), MRPC.target(ROW)) == docstring_example("mrpc")


def test_text_by_hand():
    row = {"idx": 9, "sentence1": "a", "sentence2": "b", "label": 0}
    assert MRPC.source(row) == "sentence1: a sentence2: b"
    assert MRPC.target(row) == "0"


def test_targets_are_label_indices():
    assert MRPC.targets == ("0", "1")
    assert [MRPC.label_of(target) for target in MRPC.targets] == ["not_equivalent", "equivalent"]


def test_metrics_sizes_and_prefix():
    assert MRPC.metrics == ("accuracy", "f1")
    assert MRPC.rows == {"train": 3668, "validation": 408}
    assert MRPC.split.sizes(MRPC.rows) == {"train": 3668, "validation": 204, "test": 204}
    assert MRPC.prefix == "mrpc"

"""MNLI: premise and hypothesis, mismatched pairs validate and matched ones test."""

from compacter_cli.tasks import TASKS

MNLI = TASKS["glue/mnli"]
ROW = {
    "idx": 0,
    "premise": "Conceptually cream skimming has two basic dimensions - product and geography.",
    "hypothesis": "Product and geography are what make cream skimming work.",
    "label": 1,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (MNLI.source(ROW), MNLI.target(ROW)) == docstring_example("mnli")


def test_text_by_hand():
    row = {"idx": 1, "premise": "a", "hypothesis": "b", "label": 2}
    assert MNLI.source(row) == "premise: a hypothesis: b"
    assert MNLI.target(row) == "2"


def test_targets_are_label_indices():
    assert MNLI.targets == ("0", "1", "2")
    assert [MNLI.label_of(target) for target in MNLI.targets] == [
        "entailment",
        "neutral",
        "contradiction",
    ]


def test_metrics_sizes_and_prefix():
    assert MNLI.metrics == ("accuracy",)
    assert MNLI.rows == {"train": 392702, "validation_matched": 9815, "validation_mismatched": 9832}
    assert MNLI.split.sizes(MNLI.rows) == {"train": 392702, "validation": 9832, "test": 9815}
    assert MNLI.prefix == "mnli"


def test_mismatched_rows_validate_and_matched_ones_test():
    assert MNLI.split.reads == ("train", "validation_mismatched", "validation_matched")
    files = MNLI.original.files
    assert files["validation_mismatched"] == "dev_mismatched.tsv"
    assert files["validation_matched"] == "dev_matched.tsv"

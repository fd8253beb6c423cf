"""RTE: its text, its targets, and the real rows where they are at hand."""

import csv

import pytest

from compacter_cli.data.sources import load_rows
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import TASKS

RTE = TASKS["glue/rte"]
ROW = {
    "idx": 0,
    "sentence1": "No Weapons of Mass Destruction Found in Iraq Yet.",
    "sentence2": "Weapons of Mass Destruction Found in Iraq.",
    "label": 1,
}


def test_text_and_target_are_those_of_the_docstrings_example(docstring_example):
    assert (RTE.source(ROW), RTE.target(ROW)) == docstring_example("rte")


def test_text_by_hand():
    row = {"sentence1": "a: b", "sentence2": "c", "label": 0, "idx": 3}
    assert RTE.source(row) == "sentence1: a: b sentence2: c"
    assert RTE.target(row) == "0"


def test_targets_are_label_indices():
    assert RTE.targets == ("0", "1")
    assert RTE.label_of("0") == "entailment"
    assert RTE.label_of("1") == "not_entailment"


def test_official_sizes_and_the_prefix():
    assert RTE.rows == {"train": 2490, "validation": 277}
    assert RTE.metrics == ("accuracy",)
    assert RTE.split.sizes(RTE.rows) == {"train": 2490, "validation": 138, "test": 139}
    assert RTE.prefix == "rte"


@pytest.mark.real_data
def test_the_real_rows(real_data):
    rows = load_rows(RTE, DataSection(folder=str(real_data)), offline=True)
    assert {name: len(split) for name, split in rows.splits.items()} == RTE.rows
    assert rows.splits["train"][0] == ROW
    assert rows.origin["way"] == "folder"


@pytest.mark.real_data
def test_the_real_rows_are_what_a_plain_reader_reads(real_data):
    rows = load_rows(RTE, DataSection(folder=str(real_data)), offline=True)
    for split, name in (("train", "train"), ("validation", "dev")):
        with open(f"{real_data}/glue/RTE/{name}.tsv", encoding="utf-8", newline="\n") as file:
            header, *lines = csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        assert header == ["index", "sentence1", "sentence2", "label"]
        expected = [
            {"idx": int(i), "sentence1": a, "sentence2": b, "label": RTE.labels.index(label)}
            for i, a, b, label in lines
        ]
        assert rows.splits[split] == expected

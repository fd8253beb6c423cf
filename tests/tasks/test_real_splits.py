"""The real rows of small tasks, split: compared with the files themselves, plainly read."""

import csv
import functools
import json

import pytest

from compacter_cli.data.dataset import build_dataset
from compacter_cli.data.sources import load_rows
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import TASKS

# File, columns of the fields, and row numbers with which the paper's runs begin validation.
FILES = {
    "glue/rte": (
        "glue/RTE/dev.tsv",
        ("sentence1", "sentence2"),
        [207, 84, 253, 243, 190, 28, 165, 111],
    ),
    "glue/mrpc": (
        "glue/MRPC/dev.tsv",
        ("#1 String", "#2 String"),
        [30, 63, 342, 322, 6, 302, 94, 83],
    ),
    "glue/stsb": (
        "glue/STS-B/dev.tsv",
        ("sentence1", "sentence2"),
        [42, 340, 1028, 766, 1150],
    ),
    "super_glue/cb": (
        "super_glue/CB/val.jsonl",
        ("premise", "hypothesis"),
        [22, 8, 36, 39, 34, 28, 26, 6],
    ),
    "super_glue/copa": (
        "super_glue/COPA/val.jsonl",
        ("premise", "choice1", "choice2"),
        [42, 96, 62, 98, 46, 95, 60, 24],
    ),
}
EVERY = pytest.mark.parametrize("name", FILES)
pytestmark = pytest.mark.real_data


class Characters:
    """A vocabulary of characters, so that no preset is needed."""

    def encode(self, texts):
        return [[ord(letter) + 10 for letter in text] for text in texts]

    def decode(self, ids):
        return "".join(chr(token - 10) for token in ids)

    def longest(self, texts):
        return max((text, len(text) + 1) for text in texts)


@functools.cache
def _rows(name, folder):
    return load_rows(TASKS[name], DataSection(folder=folder), offline=True)


def _read(name, folder):
    """The text fields of every line of the original validation file."""
    path, columns, _ = FILES[name]
    with open(f"{folder}/{path}", encoding="utf-8-sig", newline="\n") as file:
        if path.endswith(".jsonl"):
            found = [json.loads(line) for line in file.read().split("\n") if line]
        else:
            found = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    return [tuple(row[column] for column in columns) for row in found]


def _texts(name, rows):
    return [tuple(row[field] for field in TASKS[name].fields) for row in rows]


@EVERY
def test_the_real_rows_are_those_of_the_file_in_its_order(name, real_data):
    splits = _rows(name, real_data).splits
    assert {split: len(rows) for split, rows in splits.items()} == TASKS[name].rows
    assert _texts(name, splits["validation"]) == _read(name, real_data)


@EVERY
def test_the_real_validation_split_begins_with_the_protocols_row_numbers(name, real_data):
    official = _rows(name, real_data).splits
    splits = TASKS[name].split.apply(official, 42)
    lines, beginning = _read(name, real_data), FILES[name][2]
    found = _texts(name, splits["validation"])[: len(beginning)]
    assert found == [lines[number] for number in beginning]


@EVERY
def test_the_real_halves_are_disjoint_and_complete(name, real_data):
    official = _rows(name, real_data).splits
    splits = TASKS[name].split.apply(official, 42)
    sizes = {split: len(rows) for split, rows in splits.items()}
    assert sizes == TASKS[name].split.sizes(TASKS[name].rows)
    validation, test = ({row["idx"] for row in splits[half]} for half in ("validation", "test"))
    assert not validation & test
    assert validation | test == {row["idx"] for row in official["validation"]}
    assert len(validation) + len(test) == len(official["validation"])
    assert splits["train"] == official["train"]


@EVERY
def test_another_run_seed_leaves_the_real_splits_alone_and_another_data_seed_does_not(
    name, real_data
):
    task, rows = TASKS[name], _rows(name, real_data)

    def build(data_seed, seed):
        section = DataSection(seed=data_seed, folder=real_data)
        return build_dataset(task, rows, Characters(), section, seed)

    one, two, other = build(42, 1), build(42, 2), build(43, 1)
    assert one == two
    assert one.validation.rows == task.split.apply(rows.splits, 42)["validation"]
    assert other.validation.rows != one.validation.rows
    assert other.train == one.train

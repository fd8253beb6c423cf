"""The rows of the four demo tasks: the same always, none twice, words held out, in balance."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter

import pytest

from compacter_cli.data import tfds_preparation
from compacter_cli.data.sources import load_rows
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import DEMO_TASKS, TASKS
from compacter_cli.tasks.base import GeneratedTask
from compacter_cli.world.lexicon import nouns
from compacter_cli.world.opinions import ADJECTIVES

# The rows that the shipped backbone and the published scores know. Where they change on purpose,
# both are made again and these too.
ROWS_SHA256 = {
    "demo/acceptability": "3430012a102b5773d1c446954ed0bc879f05330fb3e9574e82ca77a0724c4d3e",
    "demo/sentiment": "933aa60d33bbe14eef36ee1d1cb921aed15692c73710d857cec656f6745ddc5b",
    "demo/entailment": "a55acf6d9ef77ac73e46cf3fa88bbbccbd6be995b675d2f08e73515334395e0f",
    "demo/similarity": "2e1b5777931241ae71ab5b28e2f6cb972131d1fd8ae04dc4d1d17fd33ab51a95",
}
HEAVY = ("keras", "torch", "tensorflow", "numpy", "sklearn", "scipy", "sentencepiece", "matplotlib")
each_task = pytest.mark.parametrize("task", DEMO_TASKS, ids=lambda task: task.name)


def _texts(task, rows):
    return [row[field] for row in rows for field in task.fields]


def _held_out(task):
    if task.name == "demo/sentiment":
        return {word for side in ADJECTIVES.values() for word in side.partition("|")[2].split()}
    return {form for noun in nouns() if noun.held_out for form in (noun.word, noun.plural)}


def _holding(task, rows):
    """How many rows hold a word that is held out."""
    held_out = _held_out(task)
    words = [set(re.findall(r"[a-z]+", task.source(row).lower())) for row in rows]
    return sum(bool(found & held_out) for found in words)


def _sha256(rows):
    return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def test_these_are_the_demo_tasks():
    names = ["demo/acceptability", "demo/sentiment", "demo/entailment", "demo/similarity"]
    assert [task.name for task in DEMO_TASKS] == names
    assert all(TASKS[task.name] is task and isinstance(task, GeneratedTask) for task in DEMO_TASKS)
    assert all(task.paper is None for task in DEMO_TASKS)


@each_task
def test_sizes_are_those_that_the_task_declares(task, demo_rows):
    sizes = {split: len(rows) for split, rows in demo_rows(task).items()}
    assert sizes == task.rows == {"train": 2500, "validation": 1000}
    assert task.split.sizes(sizes) == {"train": 2500, "validation": 500, "test": 500}


@each_task
def test_rows_are_those_that_were_published(task, demo_rows):
    assert _sha256(demo_rows(task)) == ROWS_SHA256[task.name]


def test_rows_are_the_same_in_another_process_that_needs_no_framework(demo_rows):
    code = f"""
import json, sys
from compacter_cli.tasks import DEMO_TASKS
from compacter_cli.world import exercises, text
rows = [task.generate() for task in DEMO_TASKS]
next(text.paragraphs(0, set())), next(exercises.exercises(0, set()))
print(json.dumps([rows, [name for name in {HEAVY} if name in sys.modules]]))
"""
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "12345"},
        capture_output=True,
        check=True,
        text=True,
    )
    assert json.loads(other.stdout) == [[demo_rows(task) for task in DEMO_TASKS], []]


@each_task
def test_rows_are_the_same_again(task, demo_rows):
    assert task.generate() == demo_rows(task)


@each_task
def test_no_sentence_occurs_twice_in_any_split(task, demo_rows):
    texts = [text for rows in demo_rows(task).values() for text in _texts(task, rows)]
    assert len(texts) == len(set(texts)) == 3500 * len(task.fields)


@each_task
def test_rows_are_numbered_and_hold_what_they_should(task, demo_rows):
    for rows in demo_rows(task).values():
        assert [row["idx"] for row in rows] == list(range(len(rows)))
        for row in rows:
            assert set(row) == {*task.fields, "label", "idx"}
            assert task.problem(row) is None
            assert task.target(row) in task.targets


@each_task
def test_sentences_are_written_as_sentences(task, demo_rows):
    for rows in demo_rows(task).values():
        for text in _texts(task, rows):
            assert re.fullmatch(r"[A-Z][A-Za-z, ]*[a-z][.!]", text), text
            assert "  " not in text


@each_task
def test_training_rows_hold_no_word_that_is_held_out_and_most_others_do(task, demo_rows):
    rows = demo_rows(task)
    assert _holding(task, rows["train"]) == 0
    assert _holding(task, rows["validation"]) > 0.5 * len(rows["validation"])


@pytest.mark.parametrize("task", [t for t in DEMO_TASKS if t.labels], ids=lambda task: task.name)
def test_labels_are_in_balance(task, demo_rows):
    for rows in demo_rows(task).values():
        counts = Counter(row["label"] for row in rows)
        assert set(counts) == {0, 1}
        assert 0.4 * len(rows) < counts[0] < 0.6 * len(rows)


@each_task
def test_loading_them_touches_no_disk_and_no_network(task, demo_rows, monkeypatch):
    monkeypatch.setattr(tfds_preparation, "can_reach", None)
    rows = load_rows(task, DataSection(folder="/nowhere"), offline=True)
    assert rows.splits == demo_rows(task)
    assert rows.origin == {"way": "generated"}

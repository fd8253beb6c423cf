"""What holds for every task: its name, its place in the paper's tables, its docstring, its rows."""

import importlib
import itertools
import re

import pytest

from compacter_cli.paper.tables import paper_scores, paper_tables
from compacter_cli.tasks import PUBLISHED, TASKS
from compacter_cli.tasks.metrics import METRICS
from compacter_cli.tasks.published import PublishedTask
from compacter_cli.tasks.splits import HALVED_VALIDATION

ORIGINALS = [task for task in TASKS.values() if isinstance(task, PublishedTask)]
LABELLED = [task for task in TASKS.values() if task.labels]


def _each(tasks):
    return pytest.mark.parametrize("task", tasks, ids=lambda task: task.name)


def _docstring(task):
    name = task.original.tfds.partition("/")[2].partition(":")[0]
    return " ".join(importlib.import_module(f"compacter_cli.tasks.{name}").__doc__.split())


def test_tasks_are_found_by_their_own_names():
    assert {key: task.name for key, task in TASKS.items()} == {name: name for name in TASKS}


def test_the_papers_tasks_are_in_the_order_of_its_columns():
    columns = paper_tables()["columns"]
    expected = [f"{benchmark}/{name}" for benchmark in columns for name in columns[benchmark]]
    assert [task.name for task in PUBLISHED] == expected
    assert len(expected) == 14
    assert {task.name for task in ORIGINALS} - set(expected) == {"super_glue/copa_question"}


@_each(TASKS.values())
def test_metrics_are_known(task):
    assert task.metrics
    assert {*task.metrics, *task.beside} <= set(METRICS)
    assert not set(task.metrics) & set(task.beside)


@_each(PUBLISHED)
def test_the_paper_has_a_score_for_every_metric(task):
    table = {"glue": "table1", "super_glue": "table2"}[task.original.benchmark]
    methods = list(paper_tables()[table])
    assert len(methods) > 10
    for method in methods:
        scores = paper_scores(task, method)
        assert len(scores) == len(task.metrics), method
        assert all(-100 <= score <= 100 for score in scores), method


@_each(ORIGINALS)
def test_the_docstring_names_source_licence_counts_and_splits(task):
    text = _docstring(task)
    assert re.search(r"Source: https?://\S+ \(", text)
    assert re.search(r"licen[cs]e|CC BY|BSD|terms of service", text)
    assert f"`{task.original.tfds}`" in text
    assert "Reproduces the" in text
    counts = list(task.rows.values())
    if task.split is HALVED_VALIDATION:
        sizes = task.split.sizes(task.rows)
        counts += [sizes["validation"], sizes["test"]]
    for count in counts:
        assert re.search(rf"(?<![\d,]){count:,}(?![\d,]*\d)", text), count


@_each(ORIGINALS)
def test_the_original_is_the_benchmarks_and_has_every_split_that_is_read(task):
    benchmark, _, version = task.original.tfds.partition("/")
    assert task.name.startswith(f"{benchmark}/{version.partition(':')[0]}")
    assert task.original.benchmark == benchmark
    assert version.endswith({"glue": ":2.0.0", "super_glue": ":1.0.2"}[benchmark])
    assert set(task.original.files) == set(task.rows) == set(task.split.reads)


@_each(ORIGINALS)
def test_fields_and_labels_are_those_of_tfds(task, tfds_apart):
    facts = tfds_apart.facts[task.name]
    assert {*task.fields, "idx"} <= set(facts["fields"])
    assert list(task.labels) == facts["labels"]  # the order decides which digit a label becomes


@_each(LABELLED)
def test_targets_are_the_labels_indices(task):
    assert len(task.targets) == len(task.labels) == len(set(task.labels)) > 1
    for index, label in enumerate(task.labels):
        assert task.targets[index] == task.target({"label": index}) == str(index)
        assert task.label_of(str(index)) == label
        assert task.allows({}, str(index))
        assert task.references({"label": index}) == (str(index),)


@_each(LABELLED)
@pytest.mark.parametrize("text", ["", "-1", "00", " 0", "0 ", "0.0", "0 1", "９", "label"])
def test_any_other_text_is_no_label(task, text):
    for other in (text, str(len(task.labels)), *task.labels):
        assert task.label_of(other) is None
        assert not task.allows({}, other)


@_each(LABELLED)
def test_a_label_out_of_range_is_a_problem_that_names_it(task):
    count = len(task.labels)
    assert all(task.problem({"label": label}) is None for label in range(count))
    for label in (count, count + 7, -2, 0.5, None, "0"):
        expected = f"has the label {label!r}, expected 0 to {count - 1}"
        assert task.problem({"label": label}) == expected
    assert task.problem({"label": -1}).endswith("; is the label column missing?")


@_each([task for task in TASKS.values() if task.name != "super_glue/record"])
def test_the_text_is_every_field_behind_its_name(task):
    row = {field: f"«{field}»" for field in task.fields}
    text = task.source(row)
    assert text.split(" ") == list(
        itertools.chain.from_iterable((f"{field}:", f"«{field}»") for field in task.fields)
    )
    start, shape = task.shape
    assert text.startswith(start)
    assert re.sub("«[^»]*»", "...", text) == shape
    assert task.training_rows([row]) == [row]

"""Predictions that a run keeps: measured again from the file alone, and damage told."""

import hashlib
import json
import random
import shutil
import time

import pytest

from compacter_cli.adapters.manifest import hash_of
from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.tasks import PUBLISHED, TASKS
from compacter_cli.tasks.metrics import METRICS, Answers
from compacter_cli.tasks.own import OwnTask
from compacter_cli.training.predictions import (
    hash_of_rows,
    read_predictions,
    write_predictions,
)
from compacter_cli.training.scoring import score

RTE, MRPC, STSB = (TASKS[name] for name in ("glue/rte", "glue/mrpc", "glue/stsb"))
MULTIRC, RECORD = (TASKS[f"super_glue/{name}"] for name in ("multirc", "record"))
LABELS = {"labels": ("ja", "nein"), "metrics": ("accuracy", "f1", "macro_f1", "matthews")}
NUMBERS = {"labels": ("1", "2.5", "-3"), "metrics": ("pearson", "spearman", "macro_f1")}
OWN = {
    "labels": (LABELS, [{"text": "x", "out": out} for out in ("ja", "nein", "ja", "nein", "ja")]),
    "numbers": (NUMBERS, [{"text": 3, "out": out} for out in (1, 2.5, "-3", "1", "2.5")]),
    "text": (
        {"metrics": ("rouge_l", "token_f1", "exact_match")},
        [{"text": None, "out": out} for out in ("the Cat sat", "no", "a b c", "\u2028 Ω\n", "yes")],
    ),
}


def own(labels=(), metrics=()):
    return OwnTask("jsonl", ("text",), metrics, labels=labels, templates=("t: {text}", "{out}"))


def rte_rows(labels):
    return [
        {"idx": n, "sentence1": f"P {n}.", "sentence2": "C.", "label": label}
        for n, label in enumerate(labels)
    ]


def answered(task, rows, seed=0):
    """Texts that answer rows: mostly rightly, some as other rows should be, some not at all."""
    draw = random.Random(seed)
    golds = [task.target(row) for row in rows]
    return [draw.choice([gold, gold, draw.choice(golds), "no such"]) for gold in golds]


def kept(run, task, rows, predicted):
    write_predictions(run, task, rows, predicted)
    return read_predictions(run)


def check_same(found, task, rows, predicted):
    expected = score(task, rows, predicted)
    assert found.measured() == expected.metrics
    assert list(found.measured()) == list(task.metrics)
    assert found.beside() == expected.beside
    assert (found.task, len(found)) == (task.name, len(rows))
    assert found.gold == [task.target(row) for row in rows]
    assert found.predicted == predicted
    chosen = [2, 0, 2, 1, 1, len(rows) - 1, 2]
    of_these = score(task, [rows[n] for n in chosen], [predicted[n] for n in chosen])
    assert found.measured(chosen) == of_these.metrics
    assert found.beside(chosen) == of_these.beside


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", [task.name for task in PUBLISHED])
def test_a_published_task_is_measured_as_it_was_from_the_file_alone(
    name, seed, originals, tmp_path
):
    task = originals.tasks[name]
    rows = 4 * [row for split in originals.rows[name].values() for row in split]
    predicted = answered(task, rows, seed)
    check_same(kept(tmp_path, task, rows, predicted), task, rows, predicted)


@pytest.mark.parametrize("kind", OWN)
def test_own_data_is_measured_as_it_was(kind, tmp_path):
    settings, rows = OWN[kind]
    task, predicted = own(**settings), answered(own(**settings), rows)
    check_same(kept(tmp_path, task, rows, predicted), task, rows, predicted)


def test_a_run_leaves_predictions_that_measure_as_its_result_says(smoke_run):
    test = json.loads((smoke_run / "result.json").read_text())["test"]
    found = read_predictions(smoke_run)
    assert found.measured() == test["metrics"]
    assert (found.task, len(found)) == ("demo/smoke", test["count"])
    rows = TASKS["demo/smoke"].split.apply(TASKS["demo/smoke"].generate(), 42)["test"]
    assert found.rows_hash == hash_of_rows(TASKS["demo/smoke"], rows)
    assert 100 * sum(found.correct()) / len(found) == test["metrics"]["accuracy"]


def test_a_line_holds_what_the_metrics_ask_of_its_row_and_no_more(tmp_path):
    idx = {"paragraph": 4, "question": 2, "answer": 1}
    multirc = {"paragraph": "P", "question": "Q", "answer": "A", "label": 1, "idx": idx}
    record = {"query": "q", "entities": ["A", "B"], "passage": "p", "answers": ["A", "B"], "idx": 0}
    stsb = {"sentence1": "a", "sentence2": "b", "label": 2.96, "idx": 0}
    for task, row, line in (
        (RTE, rte_rows([1])[0], {"gold": "1"}),
        (MULTIRC, multirc, {"gold": "1", "group": [4, 2]}),
        (RECORD, record, {"gold": "A", "references": ["A", "B"]}),
        (STSB, stsb, {"gold": "3.0", "label": 2.96}),
    ):
        write_predictions(tmp_path, task, [row], ["x"])
        lines = (tmp_path / "predictions.jsonl").read_text().splitlines()
        assert [json.loads(text) for text in lines[1:]] == [{"predicted": "x", **line}]


# By hand.


def test_right_is_the_label_or_for_a_text_one_of_its_references(tmp_path):
    found = kept(tmp_path, RTE, rte_rows([0, 1, 1, 0]), ["0", "0", "1", "not"])
    assert found.correct() == [True, False, True, False]
    rows = [
        {"query": "q", "entities": [], "passage": "p", "answers": answers, "idx": n}
        for n, answers in enumerate((["Ada", "Oslo"], ["Ada"], ["The Ada"]))
    ]
    found = kept(tmp_path, RECORD, rows, ["oslo.", "Oslo", "ada"])
    assert found.correct() == [True, False, True]


def test_rows_are_measured_as_often_as_they_are_named(tmp_path):
    found = kept(tmp_path, MRPC, rte_rows([1, 1, 0]), ["1", "0", "0"])
    assert found.measured() == {"accuracy": round(200 / 3, 10), "f1": round(200 / 3, 10)}
    # Two right of three; then precision 1, recall 1/3.
    assert found.measured([0, 1, 1]) == {"accuracy": round(100 / 3, 10), "f1": 50.0}
    assert found.measured([2, 2]) == {"accuracy": 100.0, "f1": 0.0}


def test_thousands_of_draws_are_measured_in_a_moment(tmp_path):
    draw, count = random.Random(1), 500
    rows = rte_rows([draw.randrange(2) for _ in range(count)])
    found = kept(tmp_path, RTE, rows, [str(draw.randrange(2)) for _ in range(count)])
    draws = [draw.choices(range(count), k=count) for _ in range(1_000)]
    began = time.process_time()
    for rows in draws:
        found.measured(rows)
    assert time.process_time() - began < 1  # 0.01 s; each draw's rows anew take 0.2


# Which rows they are.


@pytest.fixture
def rte_hash():
    return hash_of_rows(RTE, rte_rows([0, 1, 1]))


def test_the_same_rows_have_one_hash_whatever_is_predicted_and_whatever_numbers_they_have(
    tmp_path, rte_hash
):
    rows = rte_rows([0, 1, 1])
    first = kept(tmp_path, RTE, rows, ["0", "0", "0"])
    other = kept(tmp_path, RTE, [{**row, "idx": row["idx"] + 9} for row in rows], ["1", "1", ""])
    assert first.rows_hash == other.rows_hash == rte_hash
    templates = [
        OwnTask("csv", ("text",), ("accuracy",), labels=("a",), templates=(source, "{out}"))
        for source in ("t: {text}", "{text}")
    ]
    hashes = {hash_of_rows(task, [{"text": "x", "out": "a"}]) for task in templates}
    assert len(hashes) == 1


def test_other_rows_another_order_or_other_labels_have_another_hash(rte_hash):
    rows = rte_rows([0, 1, 1])
    changed = [
        rows[::-1], rows[:2], rte_rows([0, 1, 0]),
        [*rows[:2], {**rows[2], "sentence1": "P 2"}],
        [*rows[:2], {**rows[2], "sentence1": "C.", "sentence2": "P 2."}],
    ]  # fmt: skip
    hashes = {hash_of_rows(RTE, others) for others in changed}
    assert len(hashes) == 5
    assert rte_hash not in hashes


def test_an_original_file_and_tfds_give_rows_of_one_hash():
    # 3.8 as float32 keeps it.
    rows = [{"sentence1": "a", "sentence2": "b", "label": label} for label in (3.8, 3.7999999523)]
    assert hash_of_rows(STSB, rows[:1]) == hash_of_rows(STSB, rows[1:])


# Damage.


@pytest.fixture
def run(tmp_path):
    write_predictions(tmp_path, RTE, rte_rows([0, 1, 1]), ["0", "0", "1"])
    return tmp_path


def rewritten(run, change=lambda header: None, lines=None):
    """The file with its first line changed, and its lines, under hashes that fit."""
    path = run / "predictions.jsonl"
    first, *rest = path.read_text().splitlines(keepends=True)
    rest = rest if lines is None else [json.dumps(line) + "\n" for line in lines]
    header = json.loads(first)
    header["lines_sha256"] = hashlib.sha256("".join(rest).encode()).hexdigest()
    change(header)
    header["sha256"] = hash_of({k: v for k, v in header.items() if k != "sha256"})
    path.write_text(json.dumps(header) + "\n" + "".join(rest))


def test_a_run_without_predictions_is_told_with_what_to_do(tmp_path):
    with pytest.raises(MissingResourceError, match=r"has no predictions\.jsonl") as caught:
        read_predictions(tmp_path)
    assert "an earlier version" in caught.value.hint


def test_any_byte_that_is_changed_is_noticed(run):
    path = run / "predictions.jsonl"
    whole = path.read_bytes()
    assert len(whole) > 400
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(CompacterError, match=r"predictions\.jsonl is damaged: "):
            read_predictions(run)


@pytest.mark.parametrize("kept_bytes", [0, 1, 30, 300, -1, -20, -40])
def test_a_file_that_was_cut_short_is_noticed(run, kept_bytes):
    path = run / "predictions.jsonl"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(CompacterError, match="is damaged: "):
        read_predictions(run)


HOSTILE = {
    "no metric of this name": ({"metrics": ["accuracy", "__class__"]}, None),
    "no metrics": ({"metrics": []}, None),
    "a correlation of words": ({"metrics": ["pearson"], "targets": ["a", "b"]}, None),
    "a metric of labels without labels": ({"metrics": ["f1"], "targets": []}, None),
    "no groups": ({"metrics": ["question_em"]}, None),
    "no raw labels": ({"beside": ["raw_pearson"], "targets": ["0", "1"]}, None),
    "more rows than lines": ({"rows": 4}, None),
    "no rows": ({"rows": 0}, []),
    "a row that is a list": ({}, [{"predicted": "1", "gold": "0"}] * 2 + [["1", "0"]]),
    "a row without gold": ({}, [{"predicted": "1"}] * 3),
    "a number predicted": ({}, [{"predicted": 1, "gold": "0"}] * 3),
    "no references": ({}, [{"predicted": "1", "gold": "0", "references": []}] * 3),
    "a group of lists": ({}, [{"predicted": "1", "gold": "0", "group": [[1]]}] * 3),
    "a label without end": ({}, [{"predicted": "1", "gold": "0", "label": float("inf")}] * 3),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_no_run_wrote_is_one_error_although_its_hashes_fit(run, kind):
    changes, lines = HOSTILE[kind]
    rewritten(run, lambda header: header.update(changes), lines)
    with pytest.raises(CompacterError, match="is damaged: ") as caught:
        read_predictions(run)
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "1", "{" * 100_000, '{"text": "a"}', "[" * 1_000])
def test_any_other_file_is_no_file_of_predictions(tmp_path, text):
    (tmp_path / "predictions.jsonl").write_text(text)
    with pytest.raises(CompacterError, match="is damaged: "):
        read_predictions(tmp_path)


def test_a_later_version_is_named(run):
    rewritten(run, lambda header: header.update(version=2))
    with pytest.raises(CompacterError, match="has format version 2, this compacter reads 1"):
        read_predictions(run)


def test_a_link_out_of_the_run_is_not_followed(run, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "predictions.jsonl"
    shutil.move(run / "predictions.jsonl", elsewhere)
    (run / "predictions.jsonl").symlink_to(elsewhere)
    with pytest.raises(CompacterError, match="is a link to"):
        read_predictions(run)


def test_what_is_written_is_read_again_as_it_was(run):
    rewritten(run)  # the tests of hostile files stand on this
    assert read_predictions(run).measured() == {"accuracy": round(200 / 3, 10)}
    assert METRICS["accuracy"](Answers(RTE, rte_rows([0, 1, 1]), ["0", "0", "1"])) == 2 / 3

"""Rows in memory, trained on and answered: dicts, what is like a frame, and pandas' where it is."""

import json
from pathlib import Path

import pytest

from compacter_cli import Predictor, UsageError, evaluate, load_backbone, train
from compacter_cli.api.rows import kept_rows
from compacter_cli.tasks.smoke import SMOKE

ROWS = [{"words": row["sentence"], "kind": row["label"]} for row in SMOKE.generate()["train"][:40]]
TABLES = {
    "task": "jsonl",
    "backbone": {"preset": "random/tiny"},
    "method": {"name": "compacterpp"},
    "data": {"source": "sentence: {words}", "target": "{kind}", "labels": ["0", "1"]},
    "train": {"epochs": 1, "batch_size": 20, "warmup_steps": 1},
}


class Frame:
    """A table as pandas has it."""

    def __init__(self, rows):
        self.rows = rows

    def to_dict(self, orient):
        assert orient == "records"
        return self.rows


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_frame_is_trained_on_and_answered(keras):
    result = train(TABLES, rows=Frame(ROWS), device="cpu")
    predictor = Predictor(load_backbone("random/tiny"), result["run"])
    answers = predictor.predict_rows(ROWS[:3])
    assert len(answers) == 3
    kept = Path(result["data"].get("path", ""))
    assert [json.loads(line) for line in kept.read_text().splitlines()] == ROWS
    assert kept.parent == Path("runs/rows").absolute()

    kept.unlink()  # what is scored is given
    for split in ("test", "validation", "train"):
        less = {"data.max_train_samples": 7}  # of rows that train
        scored = evaluate(result["run"], less, rows=Frame(ROWS[:30]), device="cpu", split=split)
        assert scored["count"] == 30
    files = {f"data.{name}": kept_rows(ROWS[:30]) for name in ("train", "validation", "test")}
    assert scored == evaluate(result["run"], files, device="cpu", split="train")


def test_the_same_rows_are_the_same_file_whatever_holds_them():
    assert kept_rows(ROWS) == kept_rows(iter(ROWS)) == kept_rows(Frame(ROWS))
    assert kept_rows(ROWS[1:]) != kept_rows(ROWS)


def test_pandas_frames_are_taken():
    pandas = pytest.importorskip("pandas")
    assert kept_rows(pandas.DataFrame(ROWS)) == kept_rows(ROWS)
    with pytest.raises(UsageError, match='row 2, counted from 1: "words" is empty'):
        kept_rows(pandas.DataFrame({"words": ["good", None]}))


def test_an_empty_cell_is_told_by_row_and_column():
    rows = [{"words": "good", "kind": "1"}, {"words": "bad", "kind": float("nan")}]
    with pytest.raises(UsageError, match='row 2, counted from 1: "kind" is empty') as caught:
        kept_rows(rows)
    assert "fillna" in (caught.value.hint or "")


@pytest.mark.parametrize("rows", [["a text"], [{"a": object()}], [{"a": float("nan")}], [3]])
def test_what_is_no_row_is_refused(rows):
    with pytest.raises(UsageError, match="rows: "):
        kept_rows(rows)

"""Rows of one's own: read, checked, and what is wrong named by file and line."""

import json

import pytest

from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.own_files import rows_from_own_files
from compacter_cli.recipe import OwnDataSection
from compacter_cli.tasks.own import OwnTask

LINES = [{"text": f"row {number}", "label": "ab"[number % 2]} for number in range(30)]


@pytest.fixture
def rows_of(tmp_path):
    """Writes files of rows and reads them as a recipe would."""

    def rows_of(labels=("a", "b"), **files):
        for split, lines in files.items():
            text = "".join(json.dumps(line) + "\n" for line in lines)
            (tmp_path / f"{split}.jsonl").write_text(text, encoding="utf-8")
        section = OwnDataSection(
            **{split: str(tmp_path / f"{split}.jsonl") for split in files},
            source="{text}",
            target="{label}",
            labels=list(labels) if labels else None,
        )
        return rows_from_own_files(OwnTask.of("jsonl", section), section)

    return rows_of


def test_rows_are_the_files_own_with_the_hash_of_every_file(rows_of):
    splits, origin = rows_of(train=LINES, test=LINES[:4])
    assert splits == {"train": LINES, "test": LINES[:4]}
    assert origin["way"] == "own files"
    assert set(origin["sha256"]) == {"train.jsonl", "test.jsonl"}


def test_a_target_that_is_no_label_is_named_by_file_and_line(rows_of):
    with pytest.raises(
        CompacterError, match=r"train\.jsonl, line 31: .*\"c\", expected one of a, b"
    ):
        rows_of(train=[*LINES, {"text": "x", "label": "c"}])


def test_free_text_may_be_anything_but_empty(rows_of):
    rows_of(labels=None, train=[*LINES, {"text": "x", "label": "some words"}])
    with pytest.raises(CompacterError, match="line 31: the row has an empty target"):
        rows_of(labels=None, train=[*LINES, {"text": "x", "label": " "}])


def test_too_few_rows_to_divide_name_the_file(rows_of):
    with pytest.raises(CompacterError, match=r"train\.jsonl: too few rows .*validation"):
        rows_of(train=LINES[:5])
    with pytest.raises(CompacterError, match=r"validation\.jsonl: too few rows"):
        rows_of(train=LINES, validation=LINES[:1])


def test_an_empty_file_and_a_missing_one_are_told_apart(rows_of, tmp_path):
    with pytest.raises(CompacterError, match="holds no rows"):
        rows_of(train=[])
    section = OwnDataSection(train=str(tmp_path / "no.jsonl"), source="{text}", target="{label}")
    with pytest.raises(MissingResourceError, match=r"data\.train: there is no file"):
        rows_from_own_files(OwnTask.of("jsonl", section), section)

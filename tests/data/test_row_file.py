"""Rows at their places in a file: what is read there is what was checked, in any order."""

import csv
import json
import os
import tracemalloc

import pytest

from compacter_cli.data import token_cache
from compacter_cli.data.dataset import build_dataset
from compacter_cli.data.row_file import RowFile
from compacter_cli.data.sources import load_rows
from compacter_cli.errors import CompacterError
from compacter_cli.recipe.sections import OwnDataSection
from compacter_cli.tasks.own import OwnTask

TEXTS = ["an apple", "größe \u2028 iron", '"quoted", she said', "two\nlines", " x ", "z" * 50]
ROWS = [{"text": text, "label": str(number)} for number, text in enumerate(TEXTS)]
FORMS = ("jsonl", "csv", "tsv")


def write(path, rows, end="\n", mark=""):
    """A file of rows with a column more, blank lines and another newline than the usual."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        file.write(mark)
        if path.suffix == ".jsonl":
            for row in rows:
                line = json.dumps({"more": 1, **row}, ensure_ascii=False)
                file.write(f"{line}{end} {end}")
        elif path.suffix == ".tsv":
            lines = [("more", *rows[0]), *(("1", *row.values()) for row in rows)]
            file.write("".join(end + "\t".join(line) + end for line in lines).removeprefix(end))
        else:
            writer = csv.writer(file, lineterminator=end, quoting=csv.QUOTE_ALL)
            writer.writerow(["more", *rows[0]])
            for row in rows:
                writer.writerow([1, *row.values()])
                file.write(end)


def read(path, columns=("text", "label"), check=lambda number, row: None):
    return RowFile.read(path, path.suffix.removeprefix("."), columns, check)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_rows_are_read_again_as_they_are_in_any_order(tmp_path, form, end, mark):
    rows = [row for row in ROWS if form != "tsv" or "\n" not in row["text"]]
    path = tmp_path / f"rows.{form}"
    write(path, rows, end, mark)
    found = read(path)
    assert len(found) == len(rows)
    assert list(found) == list(found) == rows
    assert found[1] == rows[1]
    assert found[-1] == rows[-1]
    order = [3, 0, 0, 4]
    assert list(found.taken(order)) == [rows[place] for place in order]
    assert list(found.taken(order)[1:].taken([2, 0])) == [rows[4], rows[0]]
    assert list(found[::-2]) == rows[::-2]


def test_a_row_has_the_columns_that_are_needed(tmp_path):
    write(tmp_path / "rows.csv", ROWS)
    assert list(read(tmp_path / "rows.csv", ("label",)))[:2] == [{"label": "0"}, {"label": "1"}]


def test_every_row_is_checked_once_with_its_line(tmp_path):
    write(tmp_path / "rows.csv", ROWS)
    seen = []
    found = read(
        tmp_path / "rows.csv", check=lambda number, row: seen.append((number, row["text"]))
    )
    list(found)
    # a header, then a row and a blank line each; the fourth row has two lines
    assert [number for number, _ in seen] == [2, 4, 6, 9, 11, 13]
    assert [text for _, text in seen] == TEXTS


def test_a_file_that_changed_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    write(path, ROWS)
    found = read(path)
    with open(path, "a") as file:
        file.write('{"text": "one more", "label": "y"}\n')
    with pytest.raises(CompacterError, match=r"rows\.jsonl changed after its rows were checked"):
        list(found)
    path.unlink()
    with pytest.raises(CompacterError, match="cannot read"):
        found[0]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path):
    path = tmp_path / "rows.jsonl"
    write(path, ROWS)
    rows = iter(read(path))
    next(rows)
    path.write_text(path.read_text().replace("iron", "zinc"))
    with pytest.raises(CompacterError, match="changed after its rows were checked"):
        list(rows)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("other", ["", "7 8 9 " * 99, "\xff" * 999, '"' * 999, "{}\n" * 999])
def test_a_row_that_is_none_any_more_is_one_of_a_file_that_changed(tmp_path, form, other):
    path = tmp_path / f"rows.{form}"
    write(path, ROWS[:3])
    rows = iter(read(path))
    next(rows)
    path.write_text(other, encoding="latin1")
    with pytest.raises(CompacterError, match="changed after its rows were checked"):
        list(rows)


def test_another_file_of_the_same_size_and_time_is_a_change(tmp_path):
    path, other = tmp_path / "rows.jsonl", tmp_path / "other.jsonl"
    write(path, ROWS)
    found = read(path)
    other.write_bytes(path.read_bytes().replace(b"iron", b"zinc"))
    times = path.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)
    with pytest.raises(CompacterError, match="changed after its rows were checked"):
        found[0]


class Words:
    """A vocabulary of one token a word, its first letter."""

    sha256 = "0" * 64

    def encode(self, texts):
        return [[ord(word[0]) for word in text.split()] for text in texts]

    def decode(self, ids):
        return "".join(map(chr, ids))

    def longest(self, texts):
        return texts[0], 2


def section_of(path, **given):
    values = {"source": "{text}", "target": "{label}", "labels": ["0", "1"], **given}
    return OwnDataSection(train=str(path), **values)


def many(path, count):
    path.write_text(
        "".join(
            json.dumps({"text": f"row {n} " + "word " * 20, "label": str(n % 2), "more": "x" * 200})
            + "\n"
            for n in range(count)
        )
    )


def built(path, **given):
    section = section_of(path, **given)
    task = OwnTask.of("jsonl", section)
    return build_dataset(task, load_rows(task, section), Words(), section, 1)


@pytest.mark.parametrize("labels", [["0", "1"], None], ids=["labels", "free text"])
def test_a_large_file_takes_little_more_than_its_token_ids(tmp_path, labels, monkeypatch):
    monkeypatch.setattr(token_cache, "WORTH", 1_000)  # as many texts are there at once, and no more
    monkeypatch.setenv("COMPACTER_CACHE", str(tmp_path / "cache"))
    few, rows = 1_000, 5_000
    grown = []
    for count in (few, rows):
        many(tmp_path / f"{count}.jsonl", count)
        tracemalloc.start()
        data = built(tmp_path / f"{count}.jsonl", labels=labels)
        grown.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    ids = sum(s.sources.id_bytes + s.targets.id_bytes for s in (data.train, data.validation))
    assert ids > 2 * 20 * 4_000  # two bytes each
    # two ends of 8 bytes beside the ids, a place of 16, 8 or 4 in an order
    assert grown[1] - grown[0] < 1.2 * ids + 60 * (rows - few)


def test_rows_of_a_file_are_split_and_scored_as_rows_in_a_list(tmp_path):
    many(tmp_path / "rows.jsonl", 50)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    rows = [{key: json.loads(line)[key] for key in ("text", "label")} for line in lines]
    data = built(tmp_path / "rows.jsonl", max_train_samples=9)
    section = section_of(tmp_path / "rows.jsonl")
    split = OwnTask.of("jsonl", section).split.apply({"train": rows}, section.seed)
    assert data.validation.rows == split["validation"]
    assert data.test.rows == split["test"]
    assert len(data.train) == 9
    places = [split["train"].index(row) for row in data.train.rows]
    assert places == sorted(places)
    assert data.train.sources == [Words().encode([row["text"]])[0] + [1] for row in data.train.rows]

"""Files of rows, JSONL, CSV and TSV: read whole, and faults named by file and line."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError

if TYPE_CHECKING:
    from compacter_cli.tasks.base import Row


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        CompacterError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CompacterError(
            f"cannot read {path}: {error.strerror or error}", "give a file that can be read"
        ) from error


def read_text(path: Path) -> str:
    """A UTF-8 file's text, without a byte-order mark, every line ended by a plain newline.

    Raises:
        CompacterError: it cannot be read, or is not UTF-8; the line is named.
    """
    data = read_bytes(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CompacterError(
            f"{path}, line {_first_undecodable_line(data)}: not UTF-8 ({error.reason})",
            "convert the file to UTF-8 (iconv -f latin1 -t utf8), or take the original again",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _first_undecodable_line(data: bytes) -> int | str:
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            line.decode("utf-8-sig")
        except UnicodeDecodeError:
            return number
    return "?"


def read_rows(path: Path, form: str, columns: Sequence[str]) -> list[tuple[int, Row]]:
    """`(line number, row)` of every row of a file; a row is a dict of its columns.

    Args:
        path: the file.
        form: "jsonl", "csv" (quoted as usual) or "tsv" (never quoted, as in GLUE).
        columns: the columns that every row must have.

    Raises:
        CompacterError: the file is empty, or a line is none of a row; the line is named.
    """
    text = read_text(path)
    rows = _json_rows(path, text) if form == "jsonl" else _table_rows(path, text, form)
    found = []
    for number, row in rows:
        missing = [name for name in columns if row.get(name) is None]
        if missing:
            got = "null" if missing[0] in row else ", ".join(row) or "none"
            raise CompacterError(
                f'{path}, line {number}: expected the column "{missing[0]}", got {got}',
                f"every row needs {', '.join(columns)}",
            )
        found.append((number, row))
    if not found:
        raise CompacterError(f"{path} holds no rows", "give a file with at least one")
    return found


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    # Not splitlines, which also breaks at separators that belong to a text.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise CompacterError(
                f"{path}, line {number}: not JSON: {error}", "write one JSON object a line"
            ) from error
        if not isinstance(row, dict):
            raise CompacterError(
                f"{path}, line {number}: expected a JSON object, got {type(row).__name__}",
                "write one JSON object a line",
            )
        yield number, row


def _table_rows(path: Path, text: str, form: str) -> Iterator[tuple[int, Row]]:
    lines = io.StringIO(text, newline="\n")
    csv.field_size_limit(2**31 - 1)
    if form == "tsv":
        reader = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    else:
        reader = csv.reader(lines, strict=True)
    try:
        header = next(reader, [])
        twice = {name for name in header if header.count(name) > 1}
        if twice:
            raise CompacterError(
                f"{path}, line 1: the column {sorted(twice)[0]} is there twice", "rename one"
            )
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise CompacterError(
                    f"{path}, line {reader.line_num}: expected {len(header)} columns as in the "
                    f"header ({', '.join(header)}), got {len(cells)}",
                    "quote a cell that holds the separator" if form == "csv" else None,
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise CompacterError(
            f"{path}, line {reader.line_num}: {error}", "is a quote before it not closed?"
        ) from error


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

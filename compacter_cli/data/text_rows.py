"""Files of rows, JSONL, CSV and TSV: read row by row, and faults named by file and line."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from compacter_cli.data import text_files
from compacter_cli.data.text_files import placed_lines
from compacter_cli.errors import CompacterError, did_you_mean, excerpt, flaw_of

if TYPE_CHECKING:
    import _csv
    from pathlib import Path

    from compacter_cli.tasks.base import Row

MOST_COLUMNS = 10_000
MOST_DIGITS = 300  # of an integer, as many as a float has; from 4,300 on Python refuses to read one


class Record(NamedTuple):
    """A row of a file: the number of its line, the bytes that it lies in, and itself.

    `number` is that of its last line, where a quoted cell has several. A row is a dict of its
    columns, in the file's order.
    """

    number: int
    start: int
    end: int
    row: Row


def read_rows(
    path: Path, form: str, columns: Sequence[str], lists: Collection[str] = ()
) -> Iterator[tuple[int, Row]]:
    """`(line number, row)` of every row of a file, as `read_records` reads it."""
    return ((record.number, record.row) for record in read_records(path, form, columns, lists))


def read_records(
    path: Path, form: str, columns: Sequence[str], lists: Collection[str] = ()
) -> Iterator[Record]:
    """Every row of a file, one after the other.

    Args:
        path: the file.
        form: "jsonl", "csv" (quoted as usual) or "tsv" (never quoted, as in GLUE).
        columns: the columns that every row must have: texts, numbers, true or false.
        lists: those of `columns` that are lists of texts instead.

    Raises:
        CompacterError: the file is empty, or a line is none of a row; the line is named.
    """
    record = None
    for record in _json_rows(path) if form == "jsonl" else _table_rows(path, form):
        check_columns(path, record.number, record.row, columns, lists)
        yield record
    if record is None:
        raise CompacterError(f"{path} holds no rows", "give a file with at least one")


def row_of(form: str, columns: Sequence[str], text: str) -> Row:
    """The row that a record of a file holds, whose text it is, with plain newlines.

    It must have been read before: `columns` are all that its file has, and nothing is checked.
    """
    if form == "jsonl":
        return _json_value(text)
    return dict(zip(columns, next(_cells(io.StringIO(text), form)), strict=True))


def check_columns(
    path: Path, number: int, row: Row, columns: Sequence[str], lists: Collection[str] = ()
) -> None:
    """Refuse a row, of line `number`, that lacks one of `columns` or holds what is no cell of it.

    Raises:
        CompacterError: it does; the line is named.
    """
    missing = [name for name in columns if row.get(name) is None]
    if missing:
        got = "null" if missing[0] in row else excerpt(", ".join(row), 300) or "none"
        raise CompacterError(
            f'{path}, line {number}: expected the column "{missing[0]}", got {got}',
            did_you_mean(missing[0], row) or f"every row needs {', '.join(columns)}",
        )
    for name in columns:
        if problem := cell_problem(row[name], name in lists):
            raise CompacterError(
                f'{path}, line {number}: the column "{name}" {problem}', "mend the line"
            )


def cell_problem(value: object, is_list: bool) -> str | None:
    """What is wrong with a cell that is to be read, in words, or `None`."""
    if is_list:
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            return next(filter(None, map(flaw_of, value)), None)
        return f"is {_kind(value)}, expected a list of texts"
    if isinstance(value, str):
        return flaw_of(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "is a number too large to be one"
    if not isinstance(value, (bool, int, float)):
        return f"is {_kind(value)}, expected a text, a number, true or false"
    return None


def _kind(value: object) -> str:
    """What JSON calls a value."""
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "a number")


def _json_rows(path: Path) -> Iterator[Record]:
    for number, start, end, line in placed_lines(path):
        if not line.strip():
            continue
        try:
            row = _json_value(line)
        except RecursionError:
            raise CompacterError(
                f"{path}, line {number}: not JSON that is read: it is nested too deeply",
                "write one JSON object a line",
            ) from None
        except ValueError as error:
            raise CompacterError(
                f"{path}, line {number}: not JSON: {error}", "write one JSON object a line"
            ) from error
        if not isinstance(row, dict):
            raise CompacterError(
                f"{path}, line {number}: expected a JSON object, got {type(row).__name__}",
                "write one JSON object a line",
            )
        yield Record(number, start, end, row)


def _json_value(text: str) -> Any:
    return json.loads(text.removesuffix("\n"), parse_int=_integer, parse_constant=_no_json)


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits):,} digits")
    return int(digits)


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")


def _cells(lines: Iterable[str], form: str) -> _csv.Reader:
    csv.field_size_limit(text_files.LONGEST_LINE)
    if form == "tsv":
        return csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return csv.reader(lines, strict=True)


def _table_rows(path: Path, form: str) -> Iterator[Record]:
    end = 0

    def lines() -> Iterator[str]:
        nonlocal end
        for number, _, end, line in placed_lines(path):  # noqa: B007 - where the reader is
            if number == 1:
                _check_no_json(path, line)
            yield line

    reader = _cells(lines(), form)
    try:
        header = next(reader, [])
        _check_header(path, header)
        start = end
        for cells in reader:
            begin, start = start, end
            if not cells:
                continue
            if len(cells) != len(header):
                raise CompacterError(
                    f"{path}, line {reader.line_num}: expected {len(header)} columns as in the "
                    f"header ({excerpt(', '.join(header), 300)}), got {len(cells)}",
                    "quote a cell that holds the separator" if form == "csv" else None,
                )
            yield Record(reader.line_num, begin, end, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise CompacterError(
            f"{path}, line {reader.line_num}: {error}", "is a quote before it not closed?"
        ) from error


def _check_no_json(path: Path, line: str) -> None:
    """Refuse a first line that is no header but a row of JSONL."""
    try:
        found = line.startswith("{") and isinstance(_json_value(line), dict)
    except (ValueError, RecursionError):
        return
    if found:
        raise CompacterError(
            f"{path}, line 1: expected a header, got a JSON object",
            "this is JSONL: --set task=jsonl, and for predict --format jsonl",
        )


def _check_header(path: Path, header: Sequence[str]) -> None:
    if len(header) > MOST_COLUMNS:
        raise CompacterError(
            f"{path}, line 1: {len(header):,} columns; more than {MOST_COLUMNS:,} are not read",
            "is it a table with a header?",
        )
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise CompacterError(
            f"{path}, line 1: the column {excerpt(twice[0])} is there twice", "rename one"
        )

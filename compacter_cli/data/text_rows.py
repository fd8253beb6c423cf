"""Files of rows, JSONL, CSV and TSV: read row by row, and faults named by file and line."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
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
LOOKED_ON = 1 << 24  # bytes of a file behind a wrong row in which others are counted
COUNTED = 1_000  # of those others: what to do about one may take a millisecond to find
NAMED = 3  # their lines


class Record(NamedTuple):
    """A row of a file: the number of its line, the bytes that it lies in, and itself.

    `number` is that of its last line, where a quoted cell has several. A row is a dict of its
    columns, in the file's order.
    """

    number: int
    start: int
    end: int
    row: Row


class _Place(NamedTuple):
    """A place in a file where a row should be, as a `Record` has it.

    `row` makes the row, or raises a `CompacterError` that says what is there instead.
    """

    number: int
    start: int
    end: int
    row: Callable[[], Row]


def _any(number: int, row: Row) -> None:
    """A check that takes any row."""


def read_rows(
    path: Path,
    form: str,
    columns: Sequence[str],
    lists: Collection[str] = (),
    check: Callable[[int, Row], None] = _any,
) -> Iterator[tuple[int, Row]]:
    """`(line number, row)` of every row of a file, as `read_records` reads it."""
    records = read_records(path, form, columns, lists, check)
    return ((record.number, record.row) for record in records)


def read_records(
    path: Path,
    form: str,
    columns: Sequence[str],
    lists: Collection[str] = (),
    check: Callable[[int, Row], None] = _any,
) -> Iterator[Record]:
    """Every row of a file, one after the other.

    Args:
        path: the file.
        form: "jsonl", "csv" (quoted as usual) or "tsv" (never quoted, as in GLUE).
        columns: the columns that every row must have: texts, numbers, true or false.
        lists: those of `columns` that are lists of texts instead.
        check: raises `CompacterError` where a line's row, which has these columns, is wrong.

    Raises:
        CompacterError: the file is empty, or a line is none of a row; the line is named, and how
            many of those behind it are wrong, too.
    """

    def record_at(place: _Place) -> Record:
        record = Record(place.number, place.start, place.end, place.row())
        check_columns(path, record.number, record.row, columns, lists)
        check(record.number, record.row)
        return record

    place = None
    places = _json_places(path) if form == "jsonl" else _table_places(path, form, columns)
    for place in places:
        try:
            record = record_at(place)
        except CompacterError as error:
            error.args = (f"{error}{_wrong_behind(place, places, record_at)}",)
            raise
        yield record
    if place is None:
        raise CompacterError(f"{path} holds no rows", "give a file with at least one")


def _wrong_behind(
    place: _Place, rest: Iterator[_Place], record_at: Callable[[_Place], Record]
) -> str:
    """In words, in how many lines behind a wrong one something is wrong, too; "" where in none.

    Looked at are no more than `LOOKED_ON` bytes, and counted no more than `COUNTED` rows, for
    whoever waits for the error.
    """
    wrong: list[int] = []
    at_least = "at least "
    try:
        for other in rest:
            if other.end - place.end > LOOKED_ON or len(wrong) == COUNTED:
                break
            try:
                record_at(other)
            except CompacterError:
                wrong.append(other.number)
        else:
            at_least = ""
    except CompacterError:  # one behind which nothing can be read: not UTF-8, an open quote
        pass
    if not wrong:
        return ""
    one = len(wrong) == 1
    lines = ", ".join(str(number) for number in wrong[:NAMED])
    return (
        f"; {at_least}{len(wrong):,} more {'row is' if one else 'rows are'} wrong: "
        f"{'line' if one else 'lines'} {lines}{' and others' if wrong[NAMED:] else ''}"
    )


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
        return "is NaN, no number" if math.isnan(value) else "is a number too large to be one"
    if not isinstance(value, (bool, int, float)):
        return f"is {_kind(value)}, expected a text, a number, true or false"
    return None


def _kind(value: object) -> str:
    """What JSON calls a value."""
    kinds = {dict: "an object", list: "an array", str: "a text", bool: "true or false"}
    return kinds.get(type(value), "a number")


def _json_places(path: Path) -> Iterator[_Place]:
    for number, start, end, line in placed_lines(path):
        if line.strip():
            yield _Place(number, start, end, partial(_json_row, path, number, line))


def _json_row(path: Path, number: int, line: str) -> Row:
    """The row of a line of JSONL.

    Raises:
        CompacterError: it is none.
    """
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
    return row


def _json_value(text: str) -> Any:
    return json.loads(
        text.removesuffix("\n"), parse_int=_integer, parse_float=_real, parse_constant=_no_json
    )


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"an integer of {len(digits):,} digits")
    return int(digits)


def _real(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):  # and could not be written again beside an answer
        raise ValueError(f"{excerpt(digits)} is a number too large to be one")
    return value


def _no_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is no value of JSON")


def _cells(lines: Iterable[str], form: str) -> _csv.Reader:
    csv.field_size_limit(text_files.LONGEST_LINE)
    if form == "tsv":
        return csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    return csv.reader(lines, strict=True)


def _table_places(path: Path, form: str, columns: Sequence[str]) -> Iterator[_Place]:
    """The places of a table's rows; the first alone where its header lacks one of `columns`.

    Of such a table all rows are wrong, in one way.
    """
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
        lacking = not set(columns) <= set(header)
        start = end
        for cells in reader:
            begin, start = start, end
            if cells:
                row = partial(_table_row, path, reader.line_num, form, header, cells)
                yield _Place(reader.line_num, begin, end, row)
                if lacking:
                    return
    except csv.Error as error:
        raise CompacterError(
            f"{path}, line {reader.line_num}: {error}", "is a quote before it not closed?"
        ) from error


def _table_row(
    path: Path, number: int, form: str, header: Sequence[str], cells: Sequence[str]
) -> Row:
    """The row of a table's line, by its header.

    Raises:
        CompacterError: it has more cells, or fewer.
    """
    if len(cells) != len(header):
        raise CompacterError(
            f"{path}, line {number}: expected {len(header)} columns as in the header "
            f"({excerpt(', '.join(header), 300)}), got {len(cells)}",
            "quote a cell that holds the separator" if form == "csv" else None,
        )
    return dict(zip(header, cells, strict=True))


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

"""One reading of a file of GLUE or SuperGLUE: its rows, or its first fault by line."""

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeAlias

from compacter_cli.data.rows import count_problem
from compacter_cli.data.text_files import LONGEST_LINE
from compacter_cli.errors import CompacterError, excerpt, flaw_of
from compacter_cli.tasks.base import Row
from compacter_cli.tasks.published import Line, Lines, PublishedTask, Table

MARK = b"\xef\xbb\xbf"  # the byte-order mark of UTF-8, with which some originals begin
MEND = "mend that line, or take the original file again; it is UTF-8"
Listed: TypeAlias = frozenset[tuple[str, ...]]
Numbered: TypeAlias = tuple[int, bytes]  # the number of a line in its file, and its bytes


class ShortLineError(ValueError):
    """A line with fewer columns than are needed, which is no row at all."""


def split_rows(
    task: PublishedTask, split: str, data: bytes, where: str, listed: Listed = frozenset()
) -> list[Row]:
    """The rows of an official split, in the order of their numbers.

    Args:
        task: the task.
        split: name of the split.
        data: the bytes of its file.
        where: what errors call the file.
        listed: keys of the lines that validate, if the file's other lines train.

    Raises:
        CompacterError: a line is none of the task's, named with its number; or all lines are
            right and there are more or fewer rows than were published.
    """
    rows: list[Row] = []
    first: tuple[int, ValueError] | None = None
    lines = _lines(data)
    read = _reader(task.original.lines, lines, where)
    for number, (place, line) in enumerate(lines):
        try:
            rows += _rows_of(task, split, read(_text(line)), number, listed)
        except ValueError as error:
            first = first or (place, error)
    counted = count_problem(task, split, len(rows))
    if first:
        place, error = first
        # Of a line that is no row it helps to know whether it is the only one.
        beside = f" ({counted})" if counted and isinstance(error, ShortLineError) else ""
        raise CompacterError(f"{where}, line {place}: {error}{beside}", MEND)
    if counted:
        raise CompacterError(f"{where}: {counted}", "take the original file again")
    return sorted(rows, key=task.number)


def listed_keys(keys: tuple[str, ...], data: bytes, where: str) -> Listed:
    """The values of `keys` in every line of a file without header.

    Raises:
        CompacterError: a line has too few columns; it is named with its number.
    """
    found = set()
    for place, line in _lines(data):
        cells = line.split(b"\t")
        if len(cells) < len(keys):
            raise CompacterError(f"{where}, line {place}: {_short(keys, len(cells))}", MEND)
        found.add(tuple(cell.decode(errors="replace") for cell in cells[: len(keys)]))
    return frozenset(found)


def _lines(data: bytes) -> Iterator[Numbered]:
    """The lines that hold anything; a carriage return ends one as a newline does."""
    plain = data.removeprefix(MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return ((n, line) for n, line in enumerate(plain.split(b"\n"), 1) if line.strip())


def _text(line: bytes) -> str:
    if len(line) > LONGEST_LINE:
        raise ValueError(f"longer than {LONGEST_LINE:,} bytes")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 ({error.reason})") from None


def _reader(form: Lines, lines: Iterator[Numbered], where: str) -> Callable[[str], Line]:
    """What makes a `Line` of a text; a table's header is taken from the `lines`."""
    if not isinstance(form, Table):
        return partial(_json_line, form.columns)
    header = form.header or _header(form, lines, where)
    places = {name: header.index(name) for name in form.columns}
    return partial(_table_line, header, places, max(places.values()))


def _header(form: Table, lines: Iterator[Numbered], where: str) -> tuple[str, ...]:
    place, line = next(lines, (1, b""))
    try:
        text = _text(line)
        header = tuple(text.split("\t"))
        if missing := [name for name in form.columns if name not in header]:
            got = _what_it_is(text) or excerpt(", ".join(header), 300)
            raise ValueError(f"expected the column {missing[0]} in the header, got {got}")
    except ValueError as error:
        raise CompacterError(f"{where}, line {place}: {error}", MEND) from None
    return header


def _what_it_is(line: str) -> str | None:
    """What a file that is no data often is, by its first line; `None` where it is none of it."""
    if not line:
        return "an empty file"
    if line.lstrip().startswith("<"):
        return "a web page"
    return "a pointer of git-lfs" if line.startswith("version https://git-lfs") else None


def _table_line(header: tuple[str, ...], places: dict[str, int], last: int, text: str) -> Line:
    cells = text.split("\t")
    if len(cells) <= last:
        raise ShortLineError(_short(header, len(cells)))
    return {name: cells[place] for name, place in places.items()}


def _short(columns: tuple[str, ...], got: int) -> str:
    return f"expected {len(columns)} columns ({', '.join(columns)}), got {got}"


def _flaw_in(row: Row) -> str | None:
    """What no vocabulary can hold of a row's texts, in words, or `None`."""
    for name, value in row.items():
        texts = value if isinstance(value, list) else [value]
        if flaw := next(filter(None, (flaw_of(t) for t in texts if isinstance(t, str))), None):
            return f"has a text, {name}, that {flaw}"
    return None


def _json_line(keys: tuple[str, ...], text: str) -> Line:
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(line, dict):
        raise ValueError(f"expected a JSON object, got {type(line).__name__}")
    if missing := [key for key in keys if key not in line]:
        raise ValueError(f"expected the key {missing[0]}, got {excerpt(', '.join(line), 300)}")
    return line


def _rows_of(task: PublishedTask, split: str, line: Line, number: int, listed: Listed) -> list[Row]:
    """The rows that a line adds to a split, each of them checked."""
    form = task.original.lines
    if isinstance(form, Table) and form.keys:
        validates = tuple(line[key] for key in form.keys) in listed
        if validates != (split == "validation"):
            return []
    try:
        rows = form.rows_of(line, number)
    except (KeyError, TypeError, AttributeError) as error:
        nested = f"{type(error).__name__}: {error}"
        raise ValueError(f"not nested as it should be ({nested})") from None
    for row in rows:
        if problem := task.problem(row) or _flaw_in(row):
            raise ValueError(f"row {row['idx']} {problem}")
    return rows

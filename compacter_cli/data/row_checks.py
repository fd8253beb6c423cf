"""Rows of published tasks held against what is published, faults named by file and line."""

import json

from compacter_cli.data.text_files import read_text
from compacter_cli.errors import CompacterError


def problem_of(task, split, rows):
    """What is wrong with the rows of one split, in words, or `None`."""
    if counted := count_problem(task, split, len(rows)):
        return counted
    for row in rows:
        if blank := [name for name in task.fields if not isinstance(row[name], (str, list))]:
            return f"row {row['idx']} has no text in {blank[0]}"
        if problem := task.problem(row):
            return f"row {row['idx']} {problem}"
    return None


def count_problem(task, split, count):
    """In words, that `count` is not the official number of a split's rows; or `None`."""
    expected = task.rows[split]
    return None if count == expected else f"expected {expected:,} rows, got {count:,}"


def malformed_line(path, original):
    """The first line that TFDS's parser would drop or stumble over, in words, or `None`.

    TFDS drops a line without all its columns and names none: this looks only once it has done so.

    Args:
        path: an original file.
        original: the task's `OriginalFiles`.
    """
    try:
        lines = read_text(path).split("\n")
    except CompacterError as error:
        return str(error).removeprefix(f"{path}, ")
    if path.suffix == ".jsonl":
        return _first(lines, 1, lambda line: _json_problem(line, original))
    header = _header(lines, original)
    missing = [name for name in original.columns if name not in header]
    if missing:
        found = _what_it_is(lines[0]) or ", ".join(header)
        return f"line 1: expected the column {missing[0]} in the header, got {found}"
    return _first(lines, 1 + original.header, lambda line: _table_problem(line, header, original))


def wrong_label(path, original):
    """The first well-formed line with a label that is none of the task's, in words, or `None`.

    TFDS takes some for another label: any number for GLUE's, what is true for COPA's.
    """
    if path.suffix == ".jsonl":
        return malformed_line(path, original)  # TFDS drops no line of JSON
    lines = read_text(path).split("\n")
    place = _header(lines, original).index(original.label)

    def check(line):
        cells = line.split("\t")
        empty = len(cells) <= place or not cells[place]  # TFDS drops the line, and it is counted
        return None if empty else _label_problem(cells[place], original)

    return _first(lines, 1 + original.header, check)


def _header(lines, original):
    return lines[0].split("\t") if original.header else list(original.columns)


def _what_it_is(line):
    """What a file that is no data often is, by its first line; `None` where it is none of it."""
    if not line.strip():
        return "an empty line"
    if line.lstrip().startswith("<"):
        return "a web page"
    return "a pointer of git-lfs" if line.startswith("version https://git-lfs") else None


def _first(lines, start, check):
    """`check`'s first complaint from line `start` on, with the line's number."""
    for number, line in enumerate(lines[start - 1 :], start):
        if line.strip() and (problem := check(line)):
            return f"line {number}: {problem}"
    return None


def _table_problem(line, header, original):
    cells = line.split("\t")
    if len(cells) <= max(header.index(name) for name in original.columns):
        return f"expected {len(header)} columns ({', '.join(header)}), got {len(cells)}"
    return _label_problem(cells[header.index(original.label)], original)


def _json_problem(line, original):
    try:
        row = json.loads(line)
    except ValueError as error:
        return f"not JSON: {error}"
    if not isinstance(row, dict):
        return f"expected a JSON object, got {type(row).__name__}"
    missing = [name for name in original.columns if name not in row]
    if missing:
        return f"expected the key {missing[0]}, got {', '.join(row)}"
    if original.deep:
        try:
            return original.deep(row)
        except (KeyError, TypeError, AttributeError) as error:
            return f"not nested as it should be ({type(error).__name__}: {error})"
    return _label_problem(row[original.label], original)


def _label_problem(label, original):
    known = original.values
    if known:
        kinds = {type(value) for value in known}
        fits = type(label) in kinds and label in known
        expected = " or ".join(json.dumps(value) for value in known)
        return None if fits else f"the {original.label} is {label!r}, expected {expected}"
    try:
        float(label)
    except ValueError:
        return f"the {original.label} is {label!r}, expected a number"
    return None

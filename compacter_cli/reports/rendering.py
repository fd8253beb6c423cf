"""A table as Markdown, CSV, LaTeX and plain data."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

if TYPE_CHECKING:
    from compacter_cli.reports.table import Column, Entry, Row, Table, Value

_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "Δ": r"$\Delta$",
    "<": r"\textless{}", ">": r"\textgreater{}", '"': r"{\char34}", "\n": " ",
    "[": "{[}", "*": "{*}",  # at the start of a row, an option of the row's end before it
}  # fmt: skip
PAGE_ROWS = 40  # of a table in LaTeX, which breaks no page
_FITTED = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}"
# What Markdown would take for something else, in a cell.
_MARKDOWN = {
    **{letter: f"\\{letter}" for letter in r"|\*_`[]$~"},
    "<": "&lt;", ">": "&gt;", "&": "&amp;",
}  # fmt: skip


class EntryData(TypedDict):
    """What stands at one place of a table: see `Entry`. What is not finite is `None`."""

    text: str
    values: NotRequired[dict[str, Any]]
    best: NotRequired[bool]
    note: NotRequired[str]


class TableData(TypedDict):
    """A table: of every row an object, by column."""

    title: str
    columns: list[str]
    rows: list[dict[str, EntryData]]
    notes: list[str]


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown, under its title; what is best is bold."""
    titles = [_in_markdown(column.title) for column in table.columns]
    lines = [
        f"**{_in_markdown(table.title)}**",
        "",
        _markdown_line(titles),
        _markdown_line(["---" if column.words else "---:" for column in table.columns]),
        *(_markdown_line(map(_markdown_entry, row.entries)) for row in table.rows),
    ]
    notes = [f"- {_in_markdown(note)}" for note in table.sentences("bold")]
    return "\n".join([*lines, *([""] if notes else []), *notes]) + "\n"


def _markdown_line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_entry(entry: Entry) -> str:
    text = _in_markdown(entry.text)
    return f"**{text}**" if entry.best and text else text


def _in_markdown(text: str) -> str:
    return "".join(_MARKDOWN.get(letter, letter) for letter in text.replace("\n", " "))


def latex(table: Table) -> str:
    r"""The table in LaTeX, for `\usepackage{booktabs,graphicx}`: texts escaped, what is best bold.

    One that is wider than the page is made smaller, one that is longer goes on in another.
    """
    starts = range(0, max(1, len(table.rows)), PAGE_ROWS)
    parts = [replace(table, rows=table.rows[start : start + PAGE_ROWS]) for start in starts]
    return "\n".join(_latex_part(part, part is not parts[0], part is parts[-1]) for part in parts)


def _latex_part(table: Table, goes_on: bool, ends: bool) -> str:
    columns = "".join("l" if column.words else "r" for column in table.columns)
    notes = table.sentences("bold") if ends else ()
    lines = [
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{in_latex(table.title)}{' (continued)' if goes_on else ''}}}",
        rf"  {_FITTED}{{\begin{{tabular}}{{{columns}}}",
        r"    \toprule",
        _latex_line(in_latex(column.title) for column in table.columns),
        r"    \midrule",
        *_latex_rows(table),
        r"    \bottomrule",
        r"  \end{tabular}}",
        *(rf"  \par\footnotesize {in_latex(note)}" for note in notes),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_rows(table: Table) -> Iterator[str]:
    """The lines of the rows, with room between groups of several."""
    for before, row in zip((None, *table.rows), table.rows, strict=False):
        if before and before.group != row.group and _has_several(table, before.group):
            yield r"    \addlinespace"
        yield _latex_line(map(_latex_entry, row.entries))


def _has_several(table: Table, group: str) -> bool:
    return sum(row.group == group for row in table.rows) > 1


def _latex_line(cells: Any) -> str:
    return f"    {' & '.join(cells)} \\\\"


def _latex_entry(entry: Entry) -> str:
    text = in_latex(entry.text)
    return rf"\textbf{{{text}}}" if entry.best and text else text


def in_latex(text: str) -> str:
    """A text that LaTeX prints as it is."""
    return "".join(_LATEX.get(letter, letter) for letter in text)


def csv_text(table: Table) -> str:
    """The table as CSV, its numbers in full: a column for every value that an entry has."""
    names = [_names(table, index) for index in range(len(table.columns))]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        _header(column, name)
        for column, found in zip(table.columns, names, strict=True)
        for name in found
    )
    for row in table.rows:
        writer.writerow(_csv_cells(row, names))
    return file.getvalue()


def _names(table: Table, index: int) -> list[str]:
    """The names of the values of a column, as they come first; one without any shows its text."""
    found = [name for row in table.rows for name in row.entries[index].values]
    return list(dict.fromkeys(found)) or [""]


def _header(column: Column, name: str) -> str:
    return f"{column.title} {name}".strip()


def _csv_cells(row: Row, names: list[list[str]]) -> Iterator[Value]:
    for entry, found in zip(row.entries, names, strict=True):
        for name in found:
            yield _in_csv(entry.values.get(name))


def _in_csv(value: Value) -> Value:
    return json.dumps(value) if isinstance(value, dict | list | bool) else value


def as_data(table: Table) -> TableData:
    """The table as plain data: of every row an object, by column."""
    titles = [column.title for column in table.columns]
    return {
        "title": table.title,
        "columns": titles,
        "rows": [
            dict(zip(titles, map(_entry_data, row.entries), strict=True)) for row in table.rows
        ],
        "notes": table.sentences("best"),
    }


def _entry_data(entry: Entry) -> EntryData:
    data: EntryData = {"text": entry.text}
    if entry.values:
        data["values"] = _finite(entry.values)
    if entry.best:
        data["best"] = True
    if entry.note:
        data["note"] = entry.note
    return data


def _finite(value: Value) -> Value:
    """A value without what JSON has no number for, such as a recipe's `nan`: nothing instead."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [*map(_finite, value)]
    return None if isinstance(value, float) and not math.isfinite(value) else value

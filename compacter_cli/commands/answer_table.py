"""Answers as a table, CSV or TSV: the columns of the rows that were asked, and the answer's own."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import CompacterError, UsageError, excerpt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from compacter_cli.commands.predict_rows import Given

TABLES = ("csv", "tsv")
OTHERS = ("xlsx", "xls", "ods", "parquet", "feather")  # tables that are not written


def form_of_output(output: Path) -> str:
    """The form in which answers are written, by the file's ending: JSONL but for a table's.

    Raises:
        UsageError: the ending is that of a table which is not written.
    """
    ending = output.suffix.removeprefix(".").lower()
    if ending in OTHERS:
        raise UsageError(
            f"{output} would be a file that is not written here",
            "end --output in .csv or .tsv for a table, in .jsonl for all that is answered",
        )
    return ending if ending in TABLES else "jsonl"


def columns_of(given: Given) -> list[str]:
    """The columns of a table of answers.

    Raises:
        UsageError: the rows have a column of the name of one that the answer adds.
    """
    added = ["prediction", "probability"] + (["right"] if given.right is not None else [])
    if given.rows is None:
        return ["text", *added]
    own = list(dict.fromkeys(column for row in given.rows for column in row))
    if taken := [column for column in own if column in added]:
        raise UsageError(
            f'the rows have a column "{taken[0]}" already, which the answer adds',
            "write JSONL (--output answers.jsonl), which keeps a row apart, or rename the column",
        )
    return [*own, *added]


def lines_of(
    answers: Iterable[Mapping[str, Any]], columns: Sequence[str], form: str, header: bool = True
) -> Iterator[str]:
    """The lines of a table, newlines included, or of JSONL.

    Raises:
        CompacterError: a text holds a tab or a newline, which TSV cannot.
    """
    if form not in TABLES:
        yield from (json.dumps(item, ensure_ascii=False) + "\n" for item in answers)
        return
    if header:
        yield _line(columns, form)
    for item in answers:
        cells = {**item, **item.get("row", {}), "probability": probability_of(item)}
        yield _line([_text(cells.get(column)) for column in columns], form)


def probability_of(answer: Mapping[str, Any]) -> float | None:
    """How probable the answer is among the labels; `None` for free text."""
    return (answer["probabilities"] or {}).get(answer["prediction"])


def _text(value: object) -> str:
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " / ".join(value)
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False)


def _line(cells: Sequence[str], form: str) -> str:
    written = io.StringIO()
    if form == "csv":
        csv.writer(written, lineterminator="\n").writerow(cells)
        return written.getvalue()
    for cell in cells:
        if any(letter in cell for letter in "\t\r\n"):
            raise CompacterError(
                f'TSV holds no tab and no newline, as "{excerpt(cell)}" does',
                "write CSV or JSONL: --output answers.csv",
            )
    return "\t".join(cells) + "\n"

"""Rows that are in memory, kept as a file, so that a run on them can be told and run again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from compacter_cli.data.rows import FILLED, is_empty
from compacter_cli.errors import UsageError, excerpt
from compacter_cli.files import make_directory, write_text

KEPT = Path("runs/rows")


@runtime_checkable
class Frame(Protocol):
    """A table as pandas has it."""

    def to_dict(self, orient: Any) -> Any:
        """Its rows where `orient` is "records"."""
        ...


Table: TypeAlias = Frame | Iterable[Mapping[str, Any]]


def kept_rows(rows: Table, folder: Path = KEPT) -> str:
    """The path of a JSONL file in `folder` that holds `rows`, named by the hash of its content.

    Raises:
        UsageError: a row is no dict, or holds what JSON cannot.
        CompacterError: the file cannot be written.
    """
    listed = rows.to_dict("records") if isinstance(rows, Frame) else rows
    text = "".join(f"{_line(number, row)}\n" for number, row in enumerate(listed, 1))
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    path = folder / f"{digest[:16]}.jsonl"
    if not path.is_file():
        make_directory(folder)
        write_text(path, text)
    return str(path.absolute())


def _line(number: int, row: Mapping[str, Any]) -> str:
    """A row as JSON; its `number` is for the error.

    Raises:
        UsageError: it is no dict, or holds what JSON cannot.
    """
    try:
        cells = dict(row)
        for name, value in cells.items():
            if is_empty(value):
                raise UsageError(
                    f'rows: row {number}, counted from 1: "{excerpt(name)}" is empty ({value})',
                    FILLED,
                )
        return json.dumps(cells, ensure_ascii=False, allow_nan=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"rows: row {number}: {error}", "give dicts of texts, numbers, true and false"
        ) from error


def _plain(value: Any) -> Any:
    """A number of numpy's as Python's own."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"a cell is a {type(value).__name__}")

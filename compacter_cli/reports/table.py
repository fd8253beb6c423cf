"""A table as plain data, whatever it is shown as."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""What a table holds beside its text: a number, a text, a truth value or nothing."""


@dataclass(frozen=True)
class Entry:
    """What stands at one place of a table.

    Attributes:
        text: what people read.
        values: the same in full, by name; the name "" needs no other than the column's.
        best: whether it stands out, such as the best of its column.
        note: why it is as it is, where the text cannot say it.
    """

    text: str
    values: Mapping[str, Value] = field(default_factory=dict)
    best: bool = False
    note: str = ""


@dataclass(frozen=True)
class Column:
    """A column: its title, and whether texts stand in it and no numbers."""

    title: str
    words: bool = False


@dataclass(frozen=True)
class Row:
    """A row; neighbours of the same `group` stay together when rows are sorted."""

    entries: tuple[Entry, ...]
    group: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: its heading.
        columns: as many as every row has entries.
        rows: from the top.
        notes: sentences below it.
        head: how many of the first columns say what a row is.
        best: what entries that stand out are.
    """

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()
    head: int = 1
    best: str = ""

    def sentences(self, mark: str = "") -> list[str]:
        """Its notes, and what entries are that stand out by a `mark`, where there are some."""
        marked = mark and self.best and any(one.best for row in self.rows for one in row.entries)
        return [*self.notes, *([f"{mark}: {self.best}"] if marked else [])]

    @property
    def spaced(self) -> bool:
        """Whether groups of rows are kept apart: where rows go on below one that names them."""
        return any(not row.entries[0].text for row in self.rows)


def words(text: str) -> Entry:
    """An entry that is a text and no number."""
    return Entry(text, {"": text})


def number(value: float | None, form: str = ".2f") -> Entry:
    """An entry of one number; a dash where there is none."""
    return ABSENT if value is None else Entry(formatted(value, form), {"": value})


def best_of(values: Collection[float]) -> float | None:
    """The highest of what stands beside each other: none where all of several are equal."""
    return None if not values or len(values) > 1 == len(set(values)) else max(values)


def formatted(value: float, form: str = ".2f") -> str:
    """A number as text; what rounds to zero has no sign."""
    text = f"{value:{form}}"
    return text if text.strip("+-0.,") else text.lstrip("+-")


ABSENT = Entry("-")
EMPTY = Entry("")

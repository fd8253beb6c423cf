"""What a report is made of, whatever it is about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.errors import UsageError, nearest_or_all
from compacter_cli.reports.rendering import TableData, as_data

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from compacter_cli.reports.table import Table


class ReportData(TypedDict):
    """A report with all its tables in full, by name, and its sentences: see `Report`."""

    title: str
    lines: list[str]
    tables: dict[str, TableData]
    closing: list[str]
    problems: list[str]


class Picture(NamedTuple):
    """A figure's heading, and what draws it; nothing is drawn where there is nothing to show."""

    title: str
    draw: Callable[[], Figure | None]


@dataclass(frozen=True)
class Report:
    """A sweep, a run, or several runs, as tables, figures and sentences.

    Attributes:
        title: its heading.
        lines: what it is about, a sentence each.
        tables: by name; the first is the main one.
        shown: the tables that are shown where none is asked for.
        figures: by name.
        closing: conclusions and next steps, a sentence each.
        problems: what is missing or damaged, a sentence each.
        absent: why a table that other reports of the kind have is not there, by its name.
    """

    title: str
    lines: tuple[str, ...]
    tables: dict[str, Table]
    shown: tuple[str, ...]
    figures: dict[str, Picture] = field(default_factory=dict)
    closing: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    absent: dict[str, str] = field(default_factory=dict)

    @cached_property
    def drawn(self) -> dict[str, tuple[str, Figure]]:
        """The heading of every figure that there is, and the figure."""
        drawn = ((name, title, draw()) for name, (title, draw) in self.figures.items())
        return {name: (title, figure) for name, title, figure in drawn if figure is not None}

    def table(self, name: str) -> Table:
        """A table by name.

        Raises:
            UsageError: there is none of this name.
        """
        if name not in self.tables:
            hint = nearest_or_all(name, self.tables, "its tables")
            why = f": {self.absent[name]}" if self.absent.get(name) else ""
            raise UsageError(f"--table {name}: the report has no such table{why}", hint)
        return self.tables[name]

    def data(self) -> ReportData:
        """The report as plain data, all tables in full."""
        return {
            "title": self.title,
            "lines": list(self.lines),
            "tables": {name: as_data(table) for name, table in self.tables.items()},
            "closing": list(self.closing),
            "problems": list(self.problems),
        }

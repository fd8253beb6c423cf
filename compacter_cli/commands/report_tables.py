"""The tables of a report on a terminal; nothing here prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table as RichTable
from rich.text import Text

from compacter_cli.commands.streams import visible

if TYPE_CHECKING:
    from compacter_cli.reports.table import Entry, Row, Table

GAP = 2  # spaces between columns
FOLDED = 32  # letters that a column of texts is counted with at most


def rich_tables(table: Table, width: int) -> Iterator[RichTable]:
    """A table as one that fits the width, or as several, each with the columns that say whose."""
    widths = [_width(table, index) for index in range(len(table.columns))]
    for columns in _blocks(table, widths, width):
        yield _rich_table(table, columns)


def _width(table: Table, index: int) -> int:
    """What a column takes; one of long texts, which may be folded, less than those."""
    column = table.columns[index]
    texts = (column.title, *(row.entries[index].text for row in table.rows))
    widest = max(cell_len(visible(text)) for text in texts)
    return min(widest, FOLDED) if column.words else widest


def _blocks(table: Table, widths: Sequence[int], width: int) -> Iterator[list[int]]:
    """Numbers of columns, a block that fits after the other; one at least beside the head."""
    head = list(range(table.head))
    used = sum(widths[index] + GAP for index in head)
    block, room = [*head], width - used
    for index in range(table.head, len(widths)):
        if room < widths[index] and len(block) > len(head):
            yield block
            block, room = [*head], width - used
        block.append(index)
        room -= widths[index] + GAP
    yield block


def _rich_table(table: Table, columns: Sequence[int]) -> RichTable:
    made = RichTable(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for index in columns:
        column = table.columns[index]
        justify = "left" if column.words else "right"
        made.add_column(column.title, justify=justify, no_wrap=not column.words, overflow="fold")
    groups = [list(rows) for _, rows in groupby(table.rows, lambda row: row.group)]
    for number, rows in enumerate(groups):
        if number and table.spaced:
            made.add_row()
        for row in rows:
            made.add_row(*_cells(row, columns))
    return made


def _cells(row: Row, columns: Sequence[int]) -> Iterator[Text]:
    return (_cell(row.entries[index]) for index in columns)


def _cell(entry: Entry) -> Text:
    return Text(visible(entry.text), style="bold" if entry.best else "")

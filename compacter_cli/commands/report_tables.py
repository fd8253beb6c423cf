"""The tables of a report on a terminal; nothing here prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from rich.text import Text

from compacter_cli.commands.aligned import ABSENT, GAP
from compacter_cli.commands.console import table_of
from compacter_cli.commands.streams import visible
from compacter_cli.commands.word_table import longest_word, widest_of

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from compacter_cli.reports.table import Entry, Row, Table

FOLDED = 32  # letters that a column of texts is counted with at most


def rich_tables(table: Table, width: int) -> Iterator[RichTable]:
    """A table as one that fits the width, or as several, each with the columns that say whose."""
    for columns in _blocks(table, width):
        yield _rich_table(table, columns)


def _blocks(table: Table, width: int) -> Iterator[list[int]]:
    """Numbers of columns: of all, where folding short texts is enough, else a block that fits after
    the other, of one column at least beside the head. What holds nothing is left out."""
    numbers = [index for index in range(len(table.columns)) if not index or _holds(table, index)]
    if sum(_least(table, index) + GAP for index in numbers) - GAP <= width:
        yield numbers
        return
    head = [index for index in numbers if index < table.head]
    room = width - sum(_usual(table, index) + GAP for index in head)
    block, left = [*head], room
    for index in numbers[len(head) :]:
        if left < _usual(table, index) and len(block) > len(head):
            yield block
            block, left = [*head], room
        block.append(index)
        left -= _usual(table, index) + GAP
    yield block


def _holds(table: Table, index: int) -> bool:
    return any(row.entries[index].text not in ABSENT for row in table.rows)


def _usual(table: Table, index: int) -> int:
    """What a column takes; one of long texts, which may be folded, less than those."""
    texts = _texts(table, index)
    if not table.columns[index].words:
        return widest_of(texts)
    return max(longest_word(texts), min(widest_of(texts), FOLDED))


def _least(table: Table, index: int) -> int:
    """What a column takes where there is little room: short texts are folded, too; never the first
    column, which says whose a row is."""
    usual = _usual(table, index)
    short = table.columns[index].words and index > 0 and usual < FOLDED
    return longest_word(_texts(table, index)) if short else usual


def _texts(table: Table, index: int) -> list[str]:
    texts = (table.columns[index].title, *(row.entries[index].text for row in table.rows))
    return [*map(visible, texts)]


def _rich_table(table: Table, columns: Sequence[int]) -> RichTable:
    shown = [table.columns[index] for index in columns]
    numbers = [column.title for column in shown if not column.words]
    made = table_of(*(column.title for column in shown), numbers=numbers)
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

"""A rich table that folds its texts between words, and leaves out columns with nothing in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table

from compacter_cli.commands.aligned import ABSENT, GAP
from compacter_cli.commands.streams import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Column

LONGEST = 32  # letters of a word that stays whole, for a path or a hash may have hundreds


class WordTable(Table):
    """A table whose columns are never narrower than their longest word, nor the first than a name.

    Where even those have no room, lines are longer than the terminal is wide.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = self.columns[:1] + [column for column in self.columns[1:] if _holds(column)]
        widths = _widths(shown, options.max_width - GAP * (len(shown) - 1))
        for column, width in zip(shown, widths, strict=True):
            column.width = width
        table = Table(
            box=None, pad_edge=False, padding=self.padding, header_style=self.header_style
        )
        table.columns, table.rows = shown, self.rows
        needed = sum(widths) + GAP * (len(shown) - 1)
        room = options.update(max_width=max(needed, options.max_width))
        yield from table.__rich_console__(console, room)


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """What every column takes: its longest text, or less of the widest where that is too much."""
    widths = [max(cell_len(text) for text in _texts(column)) for column in columns]
    least = [widths[0], *(_longest_word(column) for column in columns[1:])]
    while sum(widths) > room:
        reducible = [i for i, width in enumerate(widths) if width > least[i]]
        if not reducible:
            break
        widest = max(reducible, key=widths.__getitem__)
        widths[widest] = max(least[widest], widths[widest] - (sum(widths) - room + 1) // 2)
    return widths


def _holds(column: Column) -> bool:
    return any(cell not in ABSENT for cell in column.cells)


def _texts(column: Column) -> list[str]:
    return [visible(str(cell)) for cell in (column.header, *column.cells)]


def _longest_word(column: Column) -> int:
    """Of a column of texts; one of numbers has no words to break at."""
    texts = _texts(column)
    words = texts if column.no_wrap else [word for text in texts for word in text.split()]
    return min(LONGEST, max(map(cell_len, words), default=0))

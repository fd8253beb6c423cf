"""A rich table that folds its texts between words, and leaves out columns with nothing in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment
from rich.table import Table

from compacter_cli.commands.aligned import ABSENT, GAP
from compacter_cli.commands.streams import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Column

LONGEST = 32  # letters of a word that stays whole where there is no room for longer ones


class WordTable(Table):
    """A table whose columns are never narrower than their longest word, nor the first than a name.

    A path or a hash may have hundreds of letters, and is broken where it has to be. Where even
    then there is no room, lines are longer than the terminal is wide. No line ends in blanks.
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
        for line in Segment.split_lines(console.render(table, room)):
            yield from _without_blanks(line)
            yield Segment.line()


def _without_blanks(line: list[Segment]) -> list[Segment]:
    """A line without the blanks at its end."""
    while line and not line[-1].text.rstrip():
        line.pop()
    return [*line[:-1], *(Segment(last.text.rstrip(), last.style) for last in line[-1:])]


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """What every column takes: its longest text, or less of the widest where that is too much."""
    texts = [*map(_texts, columns)]
    widths = [widest_of(found) for found in texts]
    whole = [
        widths[0],
        *(
            width if column.no_wrap else longest_word(found)
            for column, found, width in zip(columns[1:], texts[1:], widths[1:], strict=True)
        ),
    ]
    broken = [whole[0], *(min(LONGEST, width) for width in whole[1:])]
    return _narrowed(_narrowed(widths, whole, room), broken, room)


def _narrowed(widths: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Widths that have room, or are the least: the widest is narrowed first."""
    widths = list(widths)
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


def widest_of(texts: Sequence[str]) -> int:
    """Columns of a terminal that the widest text takes."""
    return max(map(cell_len, texts), default=0)


def longest_word(texts: Sequence[str]) -> int:
    """Columns of a terminal that the longest word of texts takes."""
    return widest_of([word for text in texts for word in text.split()])

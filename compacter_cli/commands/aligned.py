"""Plain aligned columns, for commands that answer before rich would have laid out a table."""

from collections.abc import Collection, Iterable, Iterator, Sequence

import typer

from compacter_cli.commands.lines import width
from compacter_cli.commands.streams import visible

ABSENT = ("-", "")  # what stands where there is nothing
GAP = 2  # spaces between columns


def print_aligned(
    rows: Iterable[Sequence[str]], left: int = 1, breaks: Collection[int] = ()
) -> None:
    """Print rows of cells under the first, which is the head; no cell is wrapped or cut off.

    The first `left` columns, of names, align left and the rest, of numbers, right. Columns of
    numbers with nothing in them are left out. What is wider than the terminal is a table below
    the other: each begins with the names, and the columns numbered in `breaks` begin one.
    """
    rows = [tuple(map(visible, row)) for row in rows]
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    shown = [i for i, column in enumerate(columns) if i < left or not _is_empty(column)]
    for number, block in enumerate(_blocks(shown, widths, left, breaks)):
        head, *lines = (_line(row, widths, left, block) for row in rows)
        typer.secho("\n" * bool(number) + head, bold=True)
        typer.echo("\n".join(lines))


def _is_empty(column: Sequence[str]) -> bool:
    return all(cell in ABSENT for cell in column[1:])


def _blocks(
    shown: Sequence[int], widths: Sequence[int], left: int, breaks: Collection[int]
) -> Iterator[list[int]]:
    """Columns that stand beside each other: all where they fit, else as many as do."""
    names, numbers = shown[:left], shown[left:]

    def takes(block: Sequence[int]) -> int:
        return sum(widths[i] + GAP for i in block) - GAP

    if takes(shown) <= width():
        yield [*shown]
        return
    block = [*names]
    for column in numbers:
        begins = any(block[-1] < b <= column for b in breaks)
        if len(block) > left and (begins or takes([*block, column]) > width()):
            yield block
            block = [*names]
        block.append(column)
    yield block


def _line(row: Sequence[str], widths: Sequence[int], left: int, block: Sequence[int]) -> str:
    cells = (row[i].ljust(widths[i]) if i < left else row[i].rjust(widths[i]) for i in block)
    return (" " * GAP).join(cells).rstrip()

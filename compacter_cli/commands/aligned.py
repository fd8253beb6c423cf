"""Plain aligned columns, for commands that answer before rich would have laid out a table."""

from collections.abc import Iterable, Sequence

import typer

from compacter_cli.commands.streams import visible


def print_aligned(rows: Iterable[Sequence[str]], left: int = 1, gap: int = 1) -> None:
    """Print rows of cells under the first, which is the head; nothing is wrapped or cut off.

    The first `left` columns, of names, align left and the rest, of numbers, right, with `gap`
    spaces between them.
    """
    rows = [tuple(map(visible, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    head, *lines = (_line(row, widths, left, " " * gap) for row in rows)
    typer.secho(head, bold=True)
    typer.echo("\n".join(lines))


def _line(row: Sequence[str], widths: Sequence[int], left: int, gap: str) -> str:
    names = map(str.ljust, row[:left], widths)
    numbers = map(str.rjust, row[left:], widths[left:])
    return gap.join((*names, *numbers)).rstrip()

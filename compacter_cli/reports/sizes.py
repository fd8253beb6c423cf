"""What a run trains and what it adds for every task, counted as the paper counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from compacter_cli.errors import CompacterError
from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compacter_cli.paper.counting import Count
    from compacter_cli.reports.cells import Cell
    from compacter_cli.sweeps.records import IndexLine


class Size(NamedTuple):
    """Parameters of a run: what trains, in percent of the backbone, and what each task adds.

    With the paper's vocabulary of 32,100 rows where the backbone has more; layer norms are not
    counted as added. `added` is as a share of the backbone, `None` where it is not known.
    """

    percent: float
    added: float | None


class RowSize(NamedTuple):
    """What the cells of a row train, from least to most, and all parameters that they need.

    `total` is a multiple of the backbone's, `None` where it is not known.
    """

    least: float
    most: float
    total: float | None


def row_size(cells: Sequence[Cell]) -> RowSize | None:
    """The sizes of a row whose every cell has a chosen setting, or of the cells that have."""
    sizes = [_size(cell.chosen.finished[0]) for cell in cells if cell.chosen]
    if not sizes:
        return None
    percents = [size.percent for size in sizes]
    total = _total(sizes) if len(sizes) == len(cells) else None
    return RowSize(min(percents), max(percents), total)


def _total(sizes: Sequence[Size]) -> float | None:
    """The backbone once and what every task adds; as many backbones where all of it trains."""
    if all(size.percent == 100 for size in sizes):
        return float(len(sizes))
    known = [size.added for size in sizes if size.added is not None]
    return 1 + sum(known) if len(known) == len(sizes) else None


def _size(line: IndexLine) -> Size:
    """The size of a run: counted, or as its line has it where that cannot be done any more."""
    counted = _count(line)
    if counted is None or counted.problems or counted.own.trained != line["trained_parameters"]:
        return Size(line["trained_percent"], None)
    return Size(counted.percent(), counted.added / counted.base)


def _count(line: IndexLine) -> Count | None:
    kind = METHODS.get(line["method"])
    try:
        method = kind.model_validate(line["method_settings"]) if kind else None
        return count(line["preset"], method) if method else None
    except (ValidationError, CompacterError):  # of another version, or a preset that is gone
        return None

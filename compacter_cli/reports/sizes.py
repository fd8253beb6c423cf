"""What a run trains and what it adds for every task, counted as the paper counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError

from compacter_cli.errors import CompacterError
from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import count

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compacter_cli.paper.counting import Count
    from compacter_cli.reports.cells import Cell
    from compacter_cli.sweeps.records import IndexLine
    from compacter_cli.sweeps.sections import Sweep


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


def row_size(sweep: Sweep, cells: Sequence[Cell]) -> RowSize | None:
    """The sizes of a row whose every cell has a chosen setting, or of the cells that have."""
    sizes = [_size(sweep, cell) for cell in cells if cell.chosen]
    if not sizes:
        return None
    percents = [size.percent for size in sizes]
    return RowSize(
        min(percents), max(percents), _total(sizes) if len(sizes) == len(cells) else None
    )


def _total(sizes: Sequence[Size]) -> float | None:
    """The backbone once and what every task adds; as many backbones where all of it trains."""
    added = [size.added for size in sizes]
    if all(size.percent == 100 for size in sizes):
        return float(len(sizes))
    known = [one for one in added if one is not None]
    return 1 + sum(known) if len(known) == len(sizes) else None


def _size(sweep: Sweep, cell: Cell) -> Size:
    """The size of the first run of a cell's chosen setting."""
    assert cell.chosen is not None
    line = cell.chosen.finished[0]
    counted = _count(line, _settings(sweep, cell))
    if counted is None or counted.problems or counted.own.trained != line["trained_parameters"]:
        return Size(line["trained_percent"], None)
    return Size(counted.percent(), counted.added / counted.base)


def _count(line: IndexLine, settings: Mapping[str, Any]) -> Count | None:
    """The count of a run's method, `None` where it cannot be told any more.

    Of `settings`, by dotted key, those count that are the method's.
    """
    kind = METHODS.get(line["method"])
    if kind is None:
        return None
    named = {key.removeprefix("method."): value for key, value in settings.items()}
    own = {name: value for name, value in named.items() if name in kind.model_fields}
    try:
        return count(line["preset"], kind.model_validate({**own, "name": line["method"]}))
    except (ValidationError, CompacterError):  # of another version, or a preset that is gone
        return None


def _settings(sweep: Sweep, cell: Cell) -> dict[str, Any]:
    """The method's settings: as the run has them, or what the sweep says of them."""
    assert cell.chosen is not None
    if known := cell.chosen.finished[0].get("method_settings"):
        return known
    axis = {sweep.axis.key: cell.axis} if sweep.axis else {}
    return {**sweep.set, **cell.arm.set, **axis, **cell.chosen.setting}

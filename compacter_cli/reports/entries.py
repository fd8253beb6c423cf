"""What stands in the tables of a sweep: scores, settings, and whose a row is."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import counted
from compacter_cli.reports.cells import deviation, metric_names, title_of
from compacter_cli.reports.table import Column, Entry, formatted, words

if TYPE_CHECKING:
    from compacter_cli.reports.cells import Cell
    from compacter_cli.sweeps.sections import Arm, Sweep

CAPPED = "*"


def head_columns(sweep: Sweep) -> list[Column]:
    """What says whose a row is: the method, and the value of the axis where there is one."""
    axis = [Column(short_key(sweep.axis.key), words=True)] if sweep.axis else []
    return [Column("method", words=True), *axis]


def head_entries(sweep: Sweep, arm: Arm, axis: Any) -> list[Entry]:
    """The entries of `head_columns`."""
    return [words(title_of(arm)), *([setting_entry(axis)] if sweep.axis else [])]


def setting_entry(value: Any) -> Entry:
    """A value of a key of the recipe."""
    return Entry(setting_text(value), {"": value})


def setting_text(value: Any) -> str:
    """A value as a table shows it: numbers short, truth values as TOML writes them."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def short_key(key: str) -> str:
    """The last part of a dotted key."""
    return key.rpartition(".")[2]


def score_entry(cell: Cell, best: float | None = None) -> Entry:
    """The test scores of a cell: mean, deviation and number of seeds; what it is where none is."""
    chosen = cell.chosen
    if chosen is None:
        return Entry(cell.state, {}, note=_first_error(cell))
    names = metric_names(cell.task, chosen.metrics)
    scores = {name: chosen.scores(name) for name in names}
    values = {"n": len(chosen.finished), "planned": cell.planned}
    for name in names:
        values |= {name: fmean(scores[name]), f"{name} sd": deviation(scores[name])}
    mark = CAPPED if cell.capped else ""
    text = f"{score_text(list(scores.values()))}{mark}{seeds_text(cell)}"
    note = f"on {counted(cell.capped, 'training row')}" if cell.capped else ""
    return Entry(text, values, best is not None and cell_mean(cell) == best, note)


def score_text(scores: Sequence[Sequence[float]], digits: int = 2) -> str:
    """Means, and deviations where there are some, of one metric or more: "90.7/93.3 ± 0.5/0.4"."""
    form = f".{digits}f"
    means = "/".join(formatted(fmean(values), form) for values in scores)
    spread = [sd for sd in map(deviation, scores) if sd is not None]
    return f"{means} ± {'/'.join(formatted(sd, form) for sd in spread)}" if spread else means


def seeds_text(cell: Cell) -> str:
    """How many seeds there are of those that were planned, where some are missing."""
    assert cell.chosen is not None
    finished = len(cell.chosen.finished)
    return "" if finished == cell.planned else f" ({finished} of {cell.planned})"


def _first_error(cell: Cell) -> str:
    errors = (line.get("error") for one in cell.tried for line in one.lines)
    return next((error for error in errors if error), "")


def cell_mean(cell: Cell) -> float:
    """The mean of the test metrics of a cell that has some."""
    assert cell.chosen is not None
    return fmean(cell.chosen.mean_scores())


def percent_text(value: float) -> str:
    """A share of trained parameters as the paper prints it."""
    return "100" if value == 100 else f"{value:.3f}" if value >= 0.005 else f"{value:.1g}"

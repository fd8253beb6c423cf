"""Figure 4 of the paper: scores along the axis of a sweep, mean and band over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from compacter_cli.reports.cells import average, deviation, task_title, title_of
from compacter_cli.reports.drawing import (
    Look,
    legend_columns,
    look_of,
    new_figure,
    settle,
    shortened,
    wrapped,
)
from compacter_cli.reports.entries import short_key

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    from compacter_cli.reports.cells import Comparison
    from compacter_cli.sweeps.sections import Arm

ACROSS = 3  # panels beside each other
NARROWEST = 4.6  # inches, for a legend and a caption
SIZE = 9  # of letters, in points


class Spot(NamedTuple):
    """A mean and its deviation at a value of the axis; capped where a task had fewer rows."""

    at: float
    mean: float
    sd: float
    capped: bool


def size_figure(comparison: Comparison) -> Figure | None:
    """A panel of the average and one a task; `None` without an axis of numbers or any score."""
    axis, tasks = comparison.sweep.axis, comparison.sweep.tasks
    if axis is None or not all(_is_number(value) for value in axis.values):
        return None
    if not any(cell.chosen for cell in comparison.cells.values()):
        return None
    titles = ["average", *(task_title(task, tasks) for task in tasks)]
    panels = titles if len(tasks) > 1 else titles[1:]
    down = math.ceil(len(panels) / ACROSS)
    across = min(ACROSS, len(panels))
    width = max(NARROWEST, 3.1 * across + 0.6)
    names = [shortened(title_of(arm), width - 1, SIZE) for arm in comparison.sweep.arms]
    columns = legend_columns(names, width, SIZE)
    figure = new_figure(width, 2.6 * down + 0.9 + 0.2 * math.ceil(len(names) / columns))
    grid = figure.subplots(down, across, squeeze=False).flat
    for axes, title in zip(grid, panels, strict=False):
        _panel(
            comparison, axes, title, None if title == "average" else tasks[titles.index(title) - 1]
        )
    for axes in list(grid)[len(panels) :]:
        axes.remove()
    _legend(figure, names, columns)
    _say_axes(comparison, figure)
    settle(figure)
    return figure


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _panel(comparison: Comparison, axes: Axes, title: str, task: str | None) -> None:
    """The lines of all arms on one task, or on the average of all."""
    for index, arm in enumerate(comparison.sweep.arms):
        spots = _spots(comparison, arm, task)
        if spots:
            _line(axes, spots, look_of(index))
    axes.set_title(
        shortened(title, 3, 10), fontsize=10, fontweight="bold" if task is None else "normal"
    )
    _set_values(comparison, axes)
    axes.grid(alpha=0.3)


def _spots(comparison: Comparison, arm: Arm, task: str | None) -> list[Spot]:
    assert comparison.sweep.axis is not None
    found = []
    for value in comparison.sweep.axis.values:
        cells = (
            comparison.row(arm.name, value)
            if task is None
            else [comparison.cell(task, arm.name, value)]
        )
        mean, seeds = _mean(cells)
        if mean is not None:
            capped = any(cell.capped for cell in cells)
            found.append(Spot(value, mean, deviation(seeds) or 0.0, capped))
    return found


def _mean(cells: Sequence[Any]) -> tuple[float | None, list[float]]:
    """The mean of a cell's metrics, or of all numbers of a whole row, and the same by seed."""
    found = average(cells)
    if found is None or len(found.over) < len(cells):
        return None, []
    return found.mean, found.by_seed


def _line(axes: Axes, spots: Sequence[Spot], look: Look) -> None:
    """Means joined by a line in a band of a deviation to either side; hollow where capped."""
    at, means = [spot.at for spot in spots], [spot.mean for spot in spots]
    low, high = ([spot.mean + sign * spot.sd for spot in spots] for sign in (-1, 1))
    axes.fill_between(at, low, high, color=look.color, alpha=0.15, linewidth=0)
    axes.fill_between(
        at, low, high, facecolor="none", edgecolor=look.color, hatch=look.hatch, alpha=0.25
    )
    axes.plot(at, means, linestyle=look.line, color=look.color, linewidth=1.6)
    for spot in spots:
        face = "white" if spot.capped else look.color
        axes.plot(
            spot.at, spot.mean, look.marker, color=look.color, markerfacecolor=face, markersize=6
        )


def _set_values(comparison: Comparison, axes: Axes) -> None:
    """The axis logarithmic, with the sweep's values and no others."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    assert comparison.sweep.axis is not None
    values = [float(value) for value in comparison.sweep.axis.values]
    if min(values) > 0:
        axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_major_formatter(FixedFormatter([_short(value) for value in values]))
    axes.tick_params(labelsize=8)


def _short(value: float) -> str:
    """A value of few letters: 4k for 4,000."""
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


def _legend(figure: Figure, names: Sequence[str], columns: int) -> None:
    """Name the lines of all panels, outside of them."""
    handles = [_key(name, look_of(index)) for index, name in enumerate(names)]
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, fontsize=SIZE)


def _say_axes(comparison: Comparison, figure: Figure) -> None:
    """Say what the axes are of all panels."""
    assert comparison.sweep.axis is not None
    seeds = len(comparison.sweep.seeds)
    band = f"; band: a deviation over {seeds} seeds" if seeds > 1 else ""
    capped = any(cell.capped for cell in comparison.cells.values())
    hollow = "; hollow: all rows that the task has" if capped else ""
    caption = f"{_words(comparison.sweep.axis.key)}{band}{hollow}"
    figure.supxlabel(wrapped(caption, figure.get_figwidth(), SIZE), fontsize=SIZE)
    figure.supylabel("test score", fontsize=SIZE)


def _key(name: str, look: Look) -> Line2D:
    """The line of an arm in the legend, with its marker."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look.color, linestyle=look.line, marker=look.marker, label=name)


def _words(key: str) -> str:
    return "training rows" if key == "data.max_train_samples" else short_key(key)

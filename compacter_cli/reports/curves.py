"""The course of a run: loss, validation scores and rate, drawn, or as a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import counted
from compacter_cli.reports.drawing import (
    COLOURS,
    legend_columns,
    look_of,
    new_figure,
    settle,
    shortened,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from compacter_cli.reports.runs import RunView

BEST = "the best, kept"
BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 52  # letters of a curve: its line fits 80 columns
NAMED = len(COLOURS)  # runs that are told apart
GREY: dict[str, Any] = {"color": "0.8", "linewidth": 0.8, "zorder": 1}
WIDEST = 3.2  # inches of a run's name in a legend
SIZE = 8  # of a legend's letters, in points
SMOOTHING = 0.05  # of the updates, over which the loss is averaged


def curves_figure(runs: Mapping[str, RunView], title: str = "") -> Figure | None:
    """Loss, validation and rate of runs by name; `None` where none has begun.

    As many runs are named as there are looks; the others are grey.
    """
    begun = {name: run for name, run in runs.items() if run.updates}
    if not begun:
        return None
    figure = new_figure(8, 7)
    panels = figure.subplots(3, sharex=True, height_ratios=(3, 3, 1.4))
    for index, (name, run) in enumerate(begun.items()):
        if index < NAMED:
            _draw(panels, run, shortened(name, WIDEST, SIZE), index, alone=len(begun) == 1)
        else:
            _draw_grey(panels, run)
    panels[0].set_title(wrapped(title, 7, 10), fontsize=10)
    for axes, what in zip(panels, ("loss", "validation", "rate"), strict=True):
        axes.set_ylabel(what)
        axes.grid(alpha=0.3)
    panels[2].set_xlabel("update")
    if len(begun) == 1:
        for axes in panels[:2]:
            if (found := _named(axes))["labels"]:
                axes.legend(**found, fontsize=SIZE)
    else:
        _shared_legend(figure, panels[1], len(begun) - NAMED)
    settle(figure)
    return figure


def _draw(panels: Sequence[Axes], run: RunView, name: str, index: int, alone: bool) -> None:
    loss, scores, rate = panels
    _loss(loss, run, name, index, alone)
    _scores(scores, run, name, index, alone)
    at = [line["step"] for line in run.updates]
    rate.plot(at, [line["learning_rate"] for line in run.updates], **_line(index))


def _draw_grey(panels: Sequence[Axes], run: RunView) -> None:
    """A run without a name, below those that have one."""
    loss, scores, rate = panels
    losses = [(line["step"], line["loss"]) for line in run.updates if line["loss"] is not None]
    loss.plot([at for at, _ in losses], smoothed([value for _, value in losses]), **GREY)
    at = [line["step"] for line in run.epochs]
    scores.plot(at, [line["validation"]["mean"] for line in run.epochs], **GREY)
    at = [line["step"] for line in run.updates]
    rate.plot(at, [line["learning_rate"] for line in run.updates], **GREY)


def _named(axes: Axes) -> dict[str, Any]:
    """The lines of a panel and their names for its legend, each name once, the ring's last."""
    pairs = zip(*axes.get_legend_handles_labels(), strict=True)
    found = dict(sorted(((name, handle) for handle, name in pairs), key=lambda x: x[0] == BEST))
    return {"handles": [*found.values()], "labels": [*found]}


def _shared_legend(figure: Figure, axes: Axes, others: int) -> None:
    """Name the runs above the panels, and how many others there are."""
    from matplotlib.lines import Line2D

    found = _named(axes)
    if others > 0:
        found["handles"].append(Line2D([], [], **GREY))
        found["labels"].append(counted(others, "more run"))
    columns = legend_columns(found["labels"], figure.get_figwidth(), SIZE)
    figure.legend(**found, loc="outside upper center", ncols=columns, fontsize=SIZE)


def _line(index: int) -> dict[str, Any]:
    """The line of a run; full fine-tuning's colour is left to it."""
    return {"color": look_of(index + 1).color, "linestyle": look_of(index).line, "linewidth": 1.6}


def _loss(axes: Axes, run: RunView, name: str, index: int, alone: bool) -> None:
    """The loss of every update, faint, and its running mean."""
    at = [line["step"] for line in run.updates if line["loss"] is not None]
    losses = [line["loss"] for line in run.updates if line["loss"] is not None]
    look = look_of(index + 1)
    axes.plot(at, losses, color=look.color, alpha=0.25, linewidth=0.7)
    axes.plot(at, smoothed(losses), label="running mean" if alone else name, **_line(index))


def smoothed(values: Sequence[float]) -> list[float]:
    """The running mean: of each value and as many on either side as there are, up to a share."""
    half = int(SMOOTHING * len(values) / 2)
    sums = [0.0, *accumulate(values)]
    means = []
    for place in range(len(values)):
        reach = min(half, place, len(values) - 1 - place)
        means.append((sums[place + reach + 1] - sums[place - reach]) / (2 * reach + 1))
    return means


def _scores(axes: Axes, run: RunView, name: str, index: int, alone: bool) -> None:
    """The validation metrics of every epoch, of several runs their mean, the best one ringed."""
    at = [line["step"] for line in run.epochs]
    means = [line["validation"]["mean"] for line in run.epochs]
    names = list(run.epochs[0]["validation"]["metrics"]) if run.epochs else []
    if alone and len(names) > 1:
        for number, metric in enumerate(names):
            values = [line["validation"]["metrics"].get(metric) for line in run.epochs]
            look = look_of(number + 2)
            axes.plot(
                at, values, marker=look.marker, markersize=5, label=metric, **_line(number + 1)
            )
    label = ("mean" if len(names) > 1 else "".join(names)) if alone else name
    axes.plot(
        at, means, marker=look_of(index + 1).marker, markersize=5, label=label, **_line(index)
    )
    best = [(line["step"], line["validation"]["mean"]) for line in run.epochs if line["best"]][-1:]
    for step, mean in best:
        ring = {"markersize": 13, "markerfacecolor": "none", "color": "0.3", "linestyle": "none"}
        axes.plot(step, mean, marker="o", label=BEST, **ring)


def sparkline(values: Sequence[float], width: int = WIDTH) -> str:
    """Numbers as blocks, the means of as many equal parts as fit the width."""
    parts = min(width, len(values))
    if not parts:
        return ""
    edges = [len(values) * part // parts for part in range(parts + 1)]
    means = [sum(values[i:j]) / (j - i) for i, j in pairwise(edges)]
    low, high = min(means), max(means)
    return "".join(BLOCKS[_step(value, low, high)] for value in means)


def _step(value: float, low: float, high: float) -> int:
    return round((len(BLOCKS) - 1) * (value - low) / (high - low)) if high > low else 0

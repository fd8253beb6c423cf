"""Scores against what is paid for them: Figure 1 of the paper, and scores against time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from compacter_cli.paper.tables import paper_tables
from compacter_cli.profiling.labels import label_points
from compacter_cli.reports.cells import average, title_of
from compacter_cli.reports.cost_tables import cost_of
from compacter_cli.reports.drawing import COLOURS, new_figure, settle, wrapped
from compacter_cli.reports.paper_rows import paper_row
from compacter_cli.reports.sizes import row_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from compacter_cli.reports.cells import Comparison

LARGEST = 700.0  # area of the largest circle, in square points
PLAIN = 60.0  # area of a dot that stands for no size
GAP = 0.4  # of the whole range of scores: a gap as wide is cut out


Areas: TypeAlias = dict[bool, Mapping[str, float]]
"""Areas of circles by arm: the paper's, and ours."""


class Dot(NamedTuple):
    """An arm in a figure: what it costs, what it scores, and its size where it has one.

    `arm` is its name in the sweep, `paper` whose it is; `label` is empty where another dot of the
    arm bears the name.
    """

    arm: str
    cost: float
    score: float
    size: float | None
    paper: bool
    label: str


def trained_figure(comparison: Comparison) -> Figure | None:
    """Figure 1: average score against what trains, the circle's area the peak memory.

    `None` where no arm has finished all tasks.
    """
    dots = [*_trained_dots(comparison), *_paper_dots(comparison)]
    if not any(not dot.paper for dot in dots):
        return None
    circles = "area of a circle: peak memory, as a share of the largest"
    return _scatter(comparison, dots, "trained parameters, % of the backbone", circles)


def time_figure(comparison: Comparison) -> Figure | None:
    """Average score against the mean training time of a run; `None` where nothing is whole."""
    dots = [
        Dot(arm.name, seconds, score, None, False, title_of(arm))
        for arm, _ in comparison.rows()
        if (score := whole_average(comparison, arm.name)) is not None
        and (seconds := cost_of(comparison.row(arm.name)).seconds)
    ]
    return _scatter(comparison, dots, "mean seconds of a run's training", "") if dots else None


def whole_average(comparison: Comparison, arm: str, axis: Any = None) -> float | None:
    """The average of an arm over all tasks, `None` where one is missing."""
    cells = comparison.row(arm, axis)
    found = average(cells)
    return found.mean if found and len(found.over) == len(cells) else None


def _trained_dots(comparison: Comparison) -> list[Dot]:
    dots = []
    for arm, _ in comparison.rows():
        cells = comparison.row(arm.name)
        score, size = whole_average(comparison, arm.name), row_size(cells)
        if score is not None and size is not None and size.least > 0:  # the scale is logarithmic
            memory = cost_of(cells).memory
            dots.append(Dot(arm.name, size.least, score, memory, False, title_of(arm)))
    return dots


def _paper_dots(comparison: Comparison) -> list[Dot]:
    """The paper's dots of the same arms; one bears its name where ours is not there."""
    dots, memory = [], paper_tables()["table3"]
    for arm in comparison.sweep.arms:
        row = paper_row(comparison.sweep, arm.name)
        if row and len(row.scores) == len(comparison.sweep.tasks):
            cost = memory.get("prompt" if arm.name.startswith("prompt_") else arm.name)
            size = cost["memory_mb"] if cost else None
            label = "" if whole_average(comparison, arm.name) is not None else title_of(arm)
            dots.append(Dot(arm.name, row.percent, row.average, size, True, label))
    return dots


def _scatter(comparison: Comparison, dots: Sequence[Dot], cost: str, circles: str) -> Figure:
    figure = new_figure(8, 5.5)
    parts = _parts(figure, [dot.score for dot in dots])
    areas = _areas(dots)
    for axes, (low, high) in parts:
        _draw(axes, dots, areas)
        axes.set_ylim(low, high)
        _set_costs(axes, [dot.cost for dot in dots])
    parts[0][0].set_title(wrapped(comparison.sweep.title, 7, 10), fontsize=10)
    figure.supylabel("average score", fontsize=10)
    has_paper = any(dot.paper for dot in dots)
    lines = [
        cost,
        *filter(None, ("; ".join(filter(None, (circles, "hollow: the paper's" * has_paper))),)),
    ]
    parts[-1][0].set_xlabel("\n".join(lines))
    settle(figure)
    for axes, limits in parts:
        _label(axes, [dot for dot in dots if limits[0] <= dot.score <= limits[1]], areas)
    return figure


def _parts(figure: Figure, scores: Sequence[float]) -> list[tuple[Axes, tuple[float, float]]]:
    """The axes from the top, each with its limits: two where a wide gap parts the scores."""
    cut = _cut(scores)
    if cut is None:
        return [(figure.add_subplot(), _limits(scores))]
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    upper.tick_params(axis="x", which="both", bottom=False)
    upper.spines.bottom.set_linestyle((0, (4, 3)))
    lower.spines.top.set_linestyle((0, (4, 3)))
    above = [score for score in scores if score > cut]
    below = [score for score in scores if score <= cut]
    return [(upper, _limits(above)), (lower, _limits(below, room=0.5))]


def _cut(scores: Sequence[float]) -> float | None:
    """The score below the widest gap, where it is wide and most scores are above it."""
    ordered = sorted(scores)
    gaps = [(high - low, low) for low, high in pairwise(ordered)]
    width, low = max(gaps, default=(0.0, 0.0))
    above = sum(score > low for score in scores)
    wide = width > GAP * (ordered[-1] - ordered[0])
    return low if wide and above >= max(3, len(scores) / 2) else None


def _limits(scores: Sequence[float], room: float = 0.15) -> tuple[float, float]:
    """The range of scores and a share of it to either side."""
    low, high = min(scores), max(scores)
    more = room * (high - low) or 1.0
    return low - more, high + more


def _areas(dots: Sequence[Dot]) -> Areas:
    """Areas of the dots' circles by name, ours and the paper's each by its own largest."""
    found: Areas = {}
    for paper in (False, True):
        sizes = {dot.arm: dot.size for dot in dots if dot.paper == paper and dot.size}
        largest = max(sizes.values(), default=1.0)
        found[paper] = {name: LARGEST * size / largest for name, size in sizes.items()}
    return found


def _draw(axes: Axes, dots: Sequence[Dot], areas: Areas) -> None:
    for dot in dots:
        full = dot.arm == "full"
        colour = COLOURS[0 if full else 1]
        face = "none" if dot.paper else (*_rgb(colour), 0.3)
        edge = {"edgecolors": colour, "linewidths": 1.2, "linestyles": ":" if dot.paper else "-"}
        axes.scatter(dot.cost, dot.score, s=_area(dot, areas), facecolors=face, **edge)
        if not dot.paper:
            axes.plot(dot.cost, dot.score, "D" if full else "o", color=colour, markersize=4)
    axes.grid(alpha=0.3)


def _area(dot: Dot, areas: Areas) -> float:
    return areas[dot.paper].get(dot.arm, PLAIN)


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)


def _set_costs(axes: Axes, costs: Sequence[float]) -> None:
    """A logarithmic axis, with numbers as people write them and room for names."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_xscale("log")
    axes.set_xlim(min(costs) / 2.2, max(costs) * 2.2)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    if max(costs) / min(costs) > 10:
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.xaxis.set_minor_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))


def _label(axes: Axes, dots: Sequence[Dot], areas: Areas) -> None:
    """Names beside the dots, clear of the middles of all others."""
    points = {dot.label: (dot.cost, dot.score) for dot in dots if dot.label}
    # A circle is as wide as the root of its area times 1.13, a square in it takes 0.7 of that.
    others = [((dot.cost, dot.score), 0.45 * _area(dot, areas) ** 0.5) for dot in dots]
    label_points(axes, points, taken=others)

"""Texts of a picture: taken as they are, and names beside dots that cover no other and no dot."""

from __future__ import annotations

import math
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]
FONT_SIZE = 9
DOT = 6.0  # points from a dot's middle that a name keeps away


def take_literally(figure: Figure) -> None:
    """Draw the texts that a figure has as they are: a `$` in somebody's title begins no formula."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)


@contextmanager
def unremarked() -> Iterator[None]:
    """Keep what matplotlib warns of inside, such as a letter that its font lacks, from users."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Box(NamedTuple):
    """A rectangle, in points of 1/72 inch from the picture's lower left corner."""

    left: float
    bottom: float
    right: float
    top: float

    def overlaps(self, other: Box) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def is_within(self, other: Box) -> bool:
        return (
            self.left > other.left
            and self.bottom > other.bottom
            and self.right < other.right
            and self.top < other.top
        )


class Place(NamedTuple):
    """Where a name may go: its offset from its dot, and its box."""

    dx: float
    dy: float
    box: Box

    def is_free(self, taken: Sequence[Box], within: Box) -> bool:
        return self.box.is_within(within) and not any(self.box.overlaps(other) for other in taken)


def label_points(
    axes: Axes,
    points: Mapping[str, Point],
    look: Callable[[str], Mapping[str, Any]] = lambda name: {},
    taken: Sequence[tuple[Point, float]] = (),
) -> None:
    """Write a name near every point of axes whose limits and place are settled, a line to its dot.

    Args:
        axes: in a figure that was laid out.
        points: where each name's dot is, in data coordinates.
        look: further properties of a name's text.
        taken: other dots that no name may cover, with their radius in points.
    """
    dots = {name: _in_points(axes, point) for name, point in points.items()}
    others = [(*_in_points(axes, point), radius) for point, radius in taken]
    boxes = [_around(x, y, DOT) for x, y in dots.values()] + [_around(*other) for other in others]
    scale = 72 / axes.figure.dpi
    within = Box(*(value * scale for value in axes.get_window_extent().extents))
    for name, (x, y) in sorted(dots.items(), key=lambda dot: -dot[1][1]):
        dx, dy, box = _free_place(name, x, y, boxes, within)
        boxes.append(box)
        _write(axes, name, points[name], (dx, dy), look(name))


def _in_points(axes: Axes, point: Point) -> Point:
    x, y = axes.transData.transform(point) * (72 / axes.figure.dpi)
    return float(x), float(y)


def _around(x: float, y: float, radius: float) -> Box:
    return Box(x - radius, y - radius, x + radius, y + radius)


def _write(axes: Axes, name: str, at: Point, offset: Point, look: Mapping[str, Any]) -> None:
    text = axes.annotate(
        name,
        at,
        xytext=offset,
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=FONT_SIZE,
        parse_math=False,
        arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.7, "shrinkB": 4},
        **look,
    )
    text.set_in_layout(False)  # it was placed by the layout that there is


def _free_place(
    name: str, x: float, y: float, taken: Sequence[Box], within: Box = Box(0, 0, math.inf, math.inf)
) -> Place:
    """The nearest place of a name that is free, or the last where none is; its dot is at (x, y)."""
    places = list(_places(name, x, y))
    return next((place for place in places if place.is_free(taken, within)), places[-1])


def _places(name: str, x: float, y: float) -> Iterator[Place]:
    """Places around a dot, the nearest first."""
    across, up = 3.2 * len(name), 6  # half of the box of a text of this size
    for distance in range(0, 200, 8):
        for angle in (0, 45, -45, 90, -90, 135, -135, 180):
            dx = math.cos(math.radians(angle)) * (12 + across + distance)
            dy = math.sin(math.radians(angle)) * (14 + distance)
            box = Box(x + dx - across, y + dy - up, x + dx + across, y + dy + up)
            yield Place(dx, dy, box)

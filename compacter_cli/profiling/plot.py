"""Memory against time, one dot a method."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from compacter_cli.errors import CompacterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes

    from compacter_cli.profiling.rows import Measured, Profile

COLOURS = {"full": "#c0392b", "other": "#1f5f8b"}
Point = tuple[float, float]


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


class Place(NamedTuple):
    """Where a name may go: its offset from its dot, and its box."""

    dx: float
    dy: float
    box: Box

    def is_free(self, taken: Sequence[Box]) -> bool:
        inside = self.box.left > 0 and self.box.bottom > 0
        return inside and not any(self.box.overlaps(other) for other in taken)


def check_plot(path: Path) -> None:
    """Refuse a picture that could not be written, before anything is measured.

    Raises:
        UsageError: not a .png, its folder is not there, or the file is.
    """
    if path.suffix.lower() != ".png":
        raise UsageError(f"--plot {path}: expected a file that ends in .png")
    if not path.parent.is_dir():
        raise UsageError(f"--plot {path}: there is no folder {path.parent}")
    if path.exists():
        raise UsageError(f"--plot {path}: it is there already", "give another name")


def save_plot(profile: Profile, path: Path) -> None:
    """Write the picture of a profile as PNG: memory against time, full fine-tuning red.

    Raises:
        CompacterError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    unit = "example" if profile["budget_bytes"] else "step"
    measured = [row for row in profile["methods"] if "failed" not in row]
    points = {row["method"]: _point(row, unit) for row in measured}
    _draw(axes, points)
    axes.set_xlabel(f"milliseconds per {unit}")
    axes.set_ylabel("peak memory, MB" + (" per example" if unit == "example" else ""))
    axes.set_title(_title(profile), fontsize=10)
    figure.draw_without_rendering()  # sizes are known from here on
    _label(axes, points)
    try:
        figure.savefig(path)
    except OSError as error:
        raise CompacterError(f"--plot {path}: {error.strerror}") from error


def _point(row: Measured, unit: str) -> Point:
    if unit == "example":
        return row["example_ms"], row["example_bytes"] / 1e6
    return row["step_ms"]["median"], row["peak_bytes"] / 1e6


def _draw(axes: Axes, points: Mapping[str, Point]) -> None:
    """A dot a method, with room around them."""
    for name, (x, y) in points.items():
        full = name == "full"
        colour = COLOURS["full" if full else "other"]
        axes.plot(x, y, "D" if full else "o", color=colour, markersize=9 if full else 7)
    axes.set_xlim(0, 1.25 * max(x for x, _ in points.values()))
    axes.set_ylim(0, 1.12 * max(y for _, y in points.values()))
    axes.grid(alpha=0.3)


def _title(profile: Profile) -> str:
    batch = profile["batch"]
    how = "largest batch in the budget" if profile["budget_bytes"] else f"batch {batch}"
    return (
        f"{profile['backbone']}, {how}, {profile['source']} + {profile['target']} tokens, "
        f"{profile['precision']} on {profile['device_name']}"
    )


def _label(axes: Axes, points: Mapping[str, Point]) -> None:
    """A name near every dot, where it covers no other name and no dot, with a line to its dot."""
    scale = 72 / axes.figure.dpi
    dots = {name: axes.transData.transform(point) * scale for name, point in points.items()}
    taken = [Box(x - 6, y - 6, x + 6, y + 6) for x, y in dots.values()]
    for name, (x, y) in sorted(dots.items(), key=lambda dot: -dot[1][1]):
        dx, dy, box = _free_place(name, x, y, taken)
        taken.append(box)
        axes.annotate(
            name,
            points[name],
            xytext=(dx, dy),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=9,
            color=COLOURS["full" if name == "full" else "other"],
            fontweight="bold" if name == "full" else "normal",
            arrowprops={"arrowstyle": "-", "color": "0.6", "linewidth": 0.7, "shrinkB": 4},
        )


def _free_place(name: str, x: float, y: float, taken: Sequence[Box]) -> Place:
    """The nearest place of a name that is free, or the last where none is; its dot is at (x, y)."""
    places = list(_places(name, x, y))
    return next((place for place in places if place.is_free(taken)), places[-1])


def _places(name: str, x: float, y: float) -> Iterator[Place]:
    """Places around a dot, the nearest first."""
    across, up = 3.2 * len(name), 6  # half of the box of a text of this size
    for distance in range(0, 200, 8):
        for angle in (0, 45, -45, 90, -90, 135, -135, 180):
            dx = math.cos(math.radians(angle)) * (12 + across + distance)
            dy = math.sin(math.radians(angle)) * (14 + distance)
            box = Box(x + dx - across, y + dy - up, x + dx + across, y + dy + up)
            yield Place(dx, dy, box)

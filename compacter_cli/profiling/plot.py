"""Memory against time, one dot a method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.profiling.labels import Point, label_points, take_literally, unremarked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from matplotlib.axes import Axes

    from compacter_cli.profiling.rows import Measured, Profile

COLOURS = {"full": "#c0392b", "other": "#1f5f8b"}


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
    take_literally(figure)
    with unremarked():
        figure.draw_without_rendering()  # sizes are known from here on
    label_points(axes, points, _look)
    try:
        with unremarked():
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


def _look(name: str) -> dict[str, str]:
    """How the name of a method is written."""
    full = name == "full"
    return {
        "color": COLOURS["full" if full else "other"],
        "fontweight": "bold" if full else "normal",
    }

"""Memory against time, one dot a method."""

import math
from pathlib import Path

from compacter_cli.errors import CompacterError, UsageError

COLOURS = {"full": "#c0392b", "other": "#1f5f8b"}


def check_plot(path):
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


def save_plot(found, path):
    """Write the picture of a profile as PNG: memory against time, full fine-tuning red.

    Raises:
        CompacterError: the file cannot be written.
    """
    rows = [row for row in found["methods"] if "failed" not in row]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained", dpi=150)
    axes = figure.add_subplot()
    unit = "example" if found["budget_bytes"] else "step"
    points = {row["method"]: _point(row, unit) for row in rows}
    for name, (x, y) in points.items():
        full = name == "full"
        colour = COLOURS["full" if full else "other"]
        axes.plot(x, y, "D" if full else "o", color=colour, markersize=9 if full else 7)
    axes.set_xlabel(f"milliseconds per {unit}")
    axes.set_ylabel("peak memory, MB" + (" per example" if unit == "example" else ""))
    axes.set_title(_title(found), fontsize=10)
    axes.set_xlim(0, 1.25 * max(x for x, _ in points.values()))
    axes.set_ylim(0, 1.12 * max(y for _, y in points.values()))
    axes.grid(alpha=0.3)
    figure.draw_without_rendering()  # sizes are known from here on
    _label(axes, points)
    try:
        figure.savefig(Path(path))
    except OSError as error:
        raise CompacterError(f"--plot {path}: {error.strerror}") from error


def _point(row, unit):
    if unit == "example":
        return row["example_ms"], row["example_bytes"] / 1e6
    return row["step_ms"]["median"], row["peak_bytes"] / 1e6


def _title(found):
    how = "largest batch in the budget" if found["budget_bytes"] else f"batch {found['batch']}"
    return (
        f"{found['backbone']}, {how}, {found['source']} + {found['target']} tokens, "
        f"{found['precision']} on {found['device_name']}"
    )


def _label(axes, points):
    """A name near every dot, where it covers no other name and no dot, with a line to its dot."""
    scale = 72 / axes.figure.dpi
    dots = {name: axes.transData.transform(point) * scale for name, point in points.items()}
    taken = [(x - 6, y - 6, x + 6, y + 6) for x, y in dots.values()]  # in points of 1/72 inch
    for name in sorted(dots, key=lambda name: -dots[name][1]):
        dx, dy, box = _free_place(name, *dots[name], taken)
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


def _free_place(name, x, y, taken):
    """Where a name goes: its offset from its dot at (x, y), and its box; the nearest free place."""
    half = (3.2 * len(name), 6)  # of the box of a text of this size
    for distance in range(0, 200, 8):
        for angle in (0, 45, -45, 90, -90, 135, -135, 180):
            across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
            dx, dy = across * (12 + half[0] + distance), up * (14 + distance)
            box = (x + dx - half[0], y + dy - half[1], x + dx + half[0], y + dy + half[1])
            if box[0] > 0 and box[1] > 0 and not any(_overlap(box, other) for other in taken):
                return dx, dy, box
    return dx, dy, box


def _overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]

"""Where names go beside their dots."""

import pytest

from compacter_cli.profiling import labels
from compacter_cli.profiling.labels import label_points


@pytest.fixture
def axes():
    """Axes of a figure that is laid out, from 0 to 100 either way."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 6), dpi=72)
    axes = figure.add_subplot(xlim=(0, 100), ylim=(0, 100))
    figure.draw_without_rendering()
    return axes


def boxes_of(axes):
    """The boxes of the names alone, without the lines to their dots."""
    from matplotlib.text import Text

    axes.figure.draw_without_rendering()
    return [Text.get_window_extent(text) for text in axes.texts]


def test_a_name_without_a_free_place_is_still_somewhere():
    everywhere = [labels.Box(-1000, -1000, 1000, 1000)]
    dx, dy, box = labels._free_place("phm", 50, 50, everywhere)
    assert (dx, dy) != (0, 0)
    assert box.right - box.left == pytest.approx(2 * 3.2 * len("phm"))
    assert (box.left + box.right) / 2 == pytest.approx(50 + dx)


def test_names_stay_within_the_axes_and_apart(axes):
    label_points(axes, {"right": (99, 50), "top": (50, 99), "bottom": (50, 1), "near": (50.5, 98)})
    found, frame = boxes_of(axes), axes.get_window_extent()
    for index, box in enumerate(found):
        assert frame.x0 <= box.x0
        assert box.x1 <= frame.x1
        assert frame.y0 <= box.y0
        assert box.y1 <= frame.y1
        assert not any(box.overlaps(other) for other in found[index + 1 :])


def test_a_name_keeps_off_other_dots(axes):
    label_points(axes, {"a": (50, 50)})
    label_points(axes, {"a": (50, 50)}, taken=[((50, 50), 60.0)])
    near, far = boxes_of(axes)
    centre = axes.transData.transform((50, 50))
    assert abs(near.x0 - centre[0]) < 60
    assert abs(far.x0 - centre[0]) >= 60


def test_a_name_looks_as_it_is_told(axes):
    label_points(axes, {"full": (50, 50)}, look=lambda name: {"color": "red"})
    assert axes.texts[0].get_color() == "red"

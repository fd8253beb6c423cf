"""The picture of a profile: what is drawn where, and when it is refused."""

from pathlib import Path

import pytest

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.profiling.plot import check_plot, save_plot

SETTING = {
    "backbone": "t5_base_multi",
    "batch": 16,
    "source": 128,
    "target": 4,
    "precision": "float32",
    "device_name": "cpu",
    "budget_bytes": None,
}


def row(method, milliseconds, size, batch=2):
    return {
        "method": method,
        "step_ms": {"median": milliseconds},
        "example_ms": milliseconds / batch,
        "peak_bytes": size,
        "example_bytes": size / batch,
    }


ROWS = [
    row("full", 40.0, 9e6),
    row("adapter", 30.0, 5e6),
    row("phm", 30.2, 5.1e6),
    {"method": "said", "failed": "out of memory"},
]


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a profile; gives the axes."""
    import matplotlib.figure

    figures = []

    class Kept(matplotlib.figure.Figure):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            figures.append(self)

    monkeypatch.setattr(matplotlib.figure, "Figure", Kept)

    def draw(**changes):
        save_plot({**SETTING, "methods": ROWS, **changes}, tmp_path / "p.png")
        assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
        return figures[-1].axes[0]

    return draw


def test_a_dot_and_a_name_a_method_that_was_measured(drawn):
    axes = drawn()
    dots = {tuple(float(v[0]) for v in line.get_data()) for line in axes.lines}
    assert dots == {(40.0, 9.0), (30.0, 5.0), (30.2, 5.1)}
    assert {text.get_text() for text in axes.texts} == {"full", "adapter", "phm"}
    assert axes.get_xlabel() == "milliseconds per step"


def test_full_fine_tuning_looks_like_no_other(drawn):
    looks = {float(line.get_xdata()[0]): line for line in drawn().lines}
    full, adapter, phm = looks[40.0], looks[30.0], looks[30.2]
    assert full.get_color() != adapter.get_color() == phm.get_color()
    assert full.get_marker() != adapter.get_marker()


def test_names_of_near_dots_lie_apart(drawn):
    axes = drawn()
    boxes = [text.get_window_extent() for text in axes.texts]
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def test_within_a_budget_figures_are_of_an_example(drawn):
    axes = drawn(budget_bytes=10**9)
    assert {float(line.get_xdata()[0]) for line in axes.lines} == {20.0, 15.0, 15.1}
    assert axes.get_xlabel() == "milliseconds per example"


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"ends in \.png"):
        check_plot(Path("p.pdf"))
    with pytest.raises(UsageError, match="there is no folder"):
        check_plot(tmp_path / "no" / "p.png")
    check_plot(tmp_path / "p.PNG")
    (tmp_path / "mine.png").write_text("mine")
    with pytest.raises(UsageError, match="it is there already"):
        check_plot(tmp_path / "mine.png")
    with pytest.raises(CompacterError, match="No such file"):
        save_plot({**SETTING, "methods": ROWS}, tmp_path / "no" / "p.png")


def test_a_backbones_name_is_no_formula_and_its_letters_no_warning(drawn):
    axes = drawn(backbone=r"runs/$5 \frac$ 中")
    assert axes.get_title().startswith(r"runs/$5 \frac$ 中, batch 16")

"""The course of a run: drawn, smoothed, and as blocks."""

from pathlib import Path

import pytest

from compacter_cli.reports.curves import BLOCKS, curves_figure, smoothed, sparkline
from compacter_cli.reports.runs import RunView


def run_of(updates=100, metrics=("accuracy",)):
    lines = tuple(
        {
            "kind": "update", "step": step, "learning_rate": 0.01,
            "loss": None if step == 3 else 5.0 / step,
        }
        for step in range(1, updates + 1)
    )  # fmt: skip
    epochs = tuple(
        {
            "kind": "epoch", "number": number, "step": number * 50, "loss": 1.0,
            "best": number == 2,
            "validation": {"mean": 50.0 + number, "metrics": dict.fromkeys(metrics, 50.0 + number)},
        }
        for number in (1, 2)
    )  # fmt: skip
    return RunView(Path("run"), {}, None, lines, epochs if updates else (), ())


def test_a_run_has_its_loss_raw_and_smoothed_its_scores_and_its_rate():
    loss, scores, rate = curves_figure({"run": run_of()}).axes
    raw, mean = loss.lines
    assert (
        len(raw.get_xdata()) == len(mean.get_xdata()) == 99
    )  # the loss that was not finite is left out
    assert list(scores.lines[0].get_ydata()) == [51.0, 52.0]
    assert [list(line.get_xdata()) for line in scores.lines[1:]] == [[100]]  # the best is ringed
    assert len(rate.lines[0].get_xdata()) == 100
    assert (loss.get_ylabel(), scores.get_ylabel(), rate.get_xlabel()) == (
        "loss",
        "validation",
        "update",
    )


def test_several_metrics_are_drawn_with_their_mean():
    scores = curves_figure({"run": run_of(metrics=("accuracy", "f1"))}).axes[1]
    assert [text.get_text() for text in scores.get_legend().get_texts()] == [
        "accuracy",
        "f1",
        "mean",
        "the best, kept",
    ]


def test_several_runs_share_the_panels():
    figure = curves_figure({"A": run_of(), "B": run_of(metrics=("accuracy", "f1"))})
    assert names_of(figure) == ["A", "B", "the best, kept"]
    assert [axes.get_legend() for axes in figure.axes] == [None] * 3
    assert len({line.get_linestyle() for line in figure.axes[2].lines}) == 2


def names_of(figure):
    (legend,) = figure.legends
    return [text.get_text() for text in legend.get_texts()]


def test_of_many_runs_the_first_are_named_above_the_panels_and_the_others_are_grey():
    runs = {f"{number}: {'long name ' * 9}": run_of() for number in range(30)}
    figure = curves_figure(runs)
    *named, best, others = names_of(figure)
    assert [name[:3] for name in named] == ["0: ", "1: ", "2: ", "3: ", "4: ", "5: "]
    assert all(name.endswith("…") for name in named)
    assert (best, others) == ("the best, kept", "24 more runs")
    assert sum(line.get_color() == "0.8" for line in figure.axes[2].lines) == 24
    box = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 < box.x0 < box.x1 < figure.bbox.x1
    assert box.y1 < figure.bbox.y1
    assert not any(axes.get_window_extent().overlaps(box) for axes in figure.axes)


def test_the_ring_is_named_where_the_first_run_has_none():
    from dataclasses import replace

    first = replace(run_of(), epochs=())
    assert names_of(curves_figure({"A": first, "B": run_of()})) == ["A", "B", "the best, kept"]


def test_a_run_that_has_not_begun_is_not_drawn():
    assert curves_figure({"run": run_of(updates=0)}) is None


def test_smoothing_is_a_running_mean_that_lags_nowhere():
    line = [float(step) for step in range(400)]
    assert smoothed(line) == pytest.approx(line)
    step = [0.0] * 200 + [1.0] * 200  # over 10 of 400 values on either side
    means = smoothed(step)
    assert means[189] == 0
    assert means[199] == pytest.approx(10 / 21)
    assert means[210] == pytest.approx(1)
    assert smoothed([1.0, 5.0]) == [1.0, 5.0]  # too few to be averaged


@pytest.mark.parametrize(
    ("values", "blocks"),
    [([], ""), ([1.0], BLOCKS[0]), ([0.0, 7.0, 3.0], "▁█▄"), ([2.0, 2.0], "▁▁"),
     ([1.0, 3.0, 5.0, 7.0], "▁█")],
)  # fmt: skip
def test_a_curve_as_blocks(values, blocks):
    assert sparkline(values, width=3 if len(values) < 4 else 2) == blocks

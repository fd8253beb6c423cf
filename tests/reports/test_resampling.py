"""Bootstrap and McNemar against scipy, brute force and numbers by hand."""

import random

import numpy as np
import pytest
from scipy import stats

from compacter_cli.reports import resampling
from compacter_cli.reports.resampling import Resampler, intervals, mcnemar
from compacter_cli.tasks import TASKS


@pytest.fixture
def answers(made_up_answers):
    """Makes answers of a task that are right with some probability; some are no label."""

    def make(task, right, count=60, seed=0, labels=None):
        draw = random.Random(seed)
        labels = list(labels or TASKS[task].targets)
        gold = [random.Random(row).choice(labels) for row in range(count)]
        others = [*labels, "nonsense"]
        predicted = [g if draw.random() < right else draw.choice(others) for g in gold]
        return made_up_answers(task, gold, predicted)

    return make


@pytest.mark.parametrize(
    "task", ["glue/rte", "glue/mrpc", "glue/cola", "super_glue/cb", "glue/stsb"]
)
def test_quick_forms_give_what_the_task_gives_on_every_resample(task, answers):
    found = answers(task, 0.6)
    resampler = Resampler.of(found, TASKS[task].targets)
    assert all(resampler.forms.values())
    scores = resampler.scores(50, seed=7)
    drawn = np.concatenate(list(resampling._draws(60, 50, 7)))
    wanted = [found.measured(rows.tolist()) for rows in drawn]
    for name in TASKS[task].metrics:
        assert scores[name] == pytest.approx([one[name] for one in wanted])
    means = [sum(one.values()) / len(one) for one in wanted]
    assert scores["mean"] == pytest.approx(means)


def test_a_constant_side_correlates_with_nothing(made_up_answers):
    found = made_up_answers("glue/stsb", ["1.0", "2.0", "3.0", "3.0"], ["1.0", "2.0", "3.0", "3.0"])
    scores = Resampler.of(found, TASKS["glue/stsb"].targets).scores(200)
    assert set(np.round(scores["pearson"], 6)) == {0.0, 100.0}  # 0: one row, drawn four times


def test_a_metric_that_is_not_known_is_left_to_the_task(answers, monkeypatch):
    monkeypatch.setattr(resampling, "_FORMS", {})
    found = answers("glue/rte", 0.6)
    resampler = Resampler.of(found, TASKS["glue/rte"].targets)
    assert resampler.resamples == resampling.SLOW_RESAMPLES
    scores = resampler.scores(20, seed=3)
    monkeypatch.undo()
    quick = Resampler.of(found, TASKS["glue/rte"].targets)
    assert quick.resamples == resampling.RESAMPLES == 10_000
    assert scores["accuracy"] == pytest.approx(quick.scores(20, seed=3)["accuracy"])


def test_a_quick_form_that_disagrees_with_the_task_is_not_used(answers):
    found = answers("glue/mrpc", 0.6)
    resampler = Resampler.of(found, ("1", "0"))  # the labels in the wrong order
    assert resampler.forms["accuracy"] is not None
    assert resampler.forms["f1"] is None


def test_runs_of_the_same_rows_get_the_same_rows_drawn(answers):
    found = answers("glue/rte", 0.6)
    first, second = (Resampler.of(found).scores(100) for _ in range(2))
    assert (first["accuracy"] == second["accuracy"]).all()


def test_rows_are_drawn_in_parts_alike(monkeypatch):
    whole = np.concatenate(list(resampling._draws(7, 10, 1)))
    monkeypatch.setattr(resampling, "_AT_ONCE", 21)
    parts = list(resampling._draws(7, 10, 1))
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    assert (np.concatenate(parts) == whole).all()


def test_the_interval_is_that_of_scipys_paired_bootstrap(answers):
    one, other = answers("glue/rte", 0.6, 200, seed=1), answers("glue/rte", 0.75, 200, seed=2)
    resampled = tuple(Resampler.of(a).scores(10_000) for a in (one, other))
    found = intervals(one, other, resampled)["accuracy"]
    first, second = (np.array(a.correct(), dtype=float) for a in (one, other))

    def difference(a, b, axis):
        return 100 * (b.mean(axis=axis) - a.mean(axis=axis))

    theirs = stats.bootstrap(
        (first, second), difference, paired=True, vectorized=True, n_resamples=10_000,
        method="percentile", rng=np.random.default_rng(5),
    ).confidence_interval  # fmt: skip
    assert found.difference == pytest.approx(100 * (second.mean() - first.mean()))
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=0.6)
    assert not found.holds_zero


def test_an_interval_of_two_rows_by_brute_force(made_up_answers):
    """Of two rows, one right for the second alone: resamples differ by 0, 50 or 100 points."""
    one = made_up_answers("glue/rte", ["0", "1"], ["0", "0"])
    other = made_up_answers("glue/rte", ["0", "1"], ["0", "1"])
    resampled = tuple(Resampler.of(a).scores(10_000) for a in (one, other))
    differences = resampled[1]["accuracy"] - resampled[0]["accuracy"]
    shares = [float((differences == points).mean()) for points in (0, 50, 100)]
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.02)
    assert intervals(one, other, resampled)["accuracy"] == (50.0, 0.0, 100.0)


def test_the_mean_of_several_metrics_has_an_interval_of_its_own(answers):
    one, other = answers("glue/mrpc", 0.6, seed=1), answers("glue/mrpc", 0.9, seed=2)
    resampled = tuple(Resampler.of(a, ("0", "1")).scores(500) for a in (one, other))
    found = intervals(one, other, resampled)
    assert list(found) == ["accuracy", "f1", "mean"]
    mean = (found["accuracy"].difference + found["f1"].difference) / 2
    assert found["mean"].difference == pytest.approx(mean)


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        (0, 5, 2 / 32),  # (1/2)^5 on either side
        (1, 5, 14 / 64),  # 2 (1 + 6) / 2^6
        (2, 2, 1.0),
        (0, 0, 1.0),
    ],
)
def test_mcnemars_exact_p_by_hand(first, second, p):
    one = [True] * first + [False] * second + [True, False]
    other = [False] * first + [True] * second + [True, False]
    assert mcnemar(one, other) == (first, second, pytest.approx(p))

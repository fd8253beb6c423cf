"""What was tried, what is chosen, and averages, over hand-made runs."""

from statistics import stdev

import pytest

from compacter_cli.reports.cells import average, comparison_of, deviation, metric_names, task_title


def searched(make_line, n, seed, validation, **changes):
    """A finished run of Compacter on RTE with a setting of n, tested at the seed."""
    return make_line(
        "glue/rte", "compacter", {"accuracy": float(seed)}, setting={"method.n": n}, seed=seed,
        validation_mean=validation, **changes,
    )  # fmt: skip


@pytest.fixture
def sweep(make_sweep):
    """Compacter's n searched on RTE, two seeds."""
    arms = [{"name": "compacter", "search": {"method.n": [4, 8, 12]}}]
    return make_sweep(arms=arms, seeds=[1, 2])


def cell_of(sweep, lines):
    return comparison_of(sweep, lines).cell("glue/rte", "compacter")


def test_the_best_mean_validation_is_chosen_not_the_best_run_or_test(sweep, make_line):
    lines = [
        searched(make_line, 4, 1, 90.0), searched(make_line, 4, 2, 50.0),
        searched(make_line, 8, 1, 80.0), searched(make_line, 8, 2, 70.0),
        searched(make_line, 12, 1, 60.0), searched(make_line, 12, 99, 60.0),
    ]  # fmt: skip
    cell = cell_of(sweep, lines)
    assert cell.chosen.setting == {"method.n": 8}
    assert cell.chosen.validation == 75.0
    assert cell.chosen.scores("accuracy") == [1.0, 2.0]
    assert (cell.out_of, cell.state, cell.planned) == ("3", "finished", 2)


def test_of_equal_settings_the_first_of_the_grid_is_chosen(sweep, make_line):
    lines = [searched(make_line, n, 1, 70.0) for n in (12, 8, 4)]  # in whatever order they are
    cell = cell_of(sweep, lines)
    assert cell.chosen.setting == {"method.n": 4}
    assert [one.setting["method.n"] for one in cell.tried] == [4, 8, 12]


def test_a_setting_whose_runs_failed_is_not_chosen_and_is_told(sweep, make_line):
    lines = [
        searched(make_line, 4, 1, 70.0), searched(make_line, 4, 2, 70.0),
        searched(make_line, 8, 1, 99.0, state="failed", error="out of memory"),
        searched(make_line, 12, 1, 80.0), searched(make_line, 12, 2, 99.0, state="failed"),
    ]  # fmt: skip
    cell = cell_of(sweep, lines)
    assert cell.chosen.setting == {"method.n": 12}
    assert cell.out_of == "2 of 3, of unequal seeds"
    assert (cell.state, cell.planned, len(cell.chosen.finished)) == ("partly", 2, 1)


@pytest.mark.parametrize("state", ["failed", "unfinished", "waiting"])
def test_a_cell_without_a_finished_run_says_what_it_is(sweep, make_line, state):
    cell = cell_of(sweep, [make_line("glue/rte", "compacter", state=state)])
    assert (cell.chosen, cell.state) == (None, state)


def test_a_cell_without_any_run_is_missing(sweep, make_line):
    assert cell_of(sweep, []).state == "missing"
    assert cell_of(sweep, [make_line("glue/rte", "another", {"accuracy": 1.0})]).state == "missing"


def test_a_setting_out_of_the_grid_comes_last(sweep, make_line):
    lines = [searched(make_line, n, 1, 70.0) for n in (16, 4)]
    assert [one.setting["method.n"] for one in cell_of(sweep, lines).tried] == [4, 16]


def test_the_axis_parts_cells_and_tells_one_from_true(make_sweep, make_line):
    axis = {"key": "method.train_output_layer", "values": [False, True]}
    sweep = make_sweep(axis=axis)
    lines = [
        make_line("glue/rte", "compacter", {"accuracy": 60.0}, axis=False),
        make_line("glue/rte", "compacter", {"accuracy": 70.0}, axis=True),
    ]
    comparison = comparison_of(sweep, lines)
    found = [comparison.cell("glue/rte", "compacter", value).chosen for value in (False, True)]
    assert [one.scores("accuracy") for one in found] == [[60.0], [70.0]]
    assert [(arm.name, value) for arm, value in comparison.rows()] == [
        ("full", False), ("full", True), ("compacter", False), ("compacter", True),
    ]  # fmt: skip


def test_fewer_rows_than_the_axis_asks_for_cap_a_cell(make_sweep, make_line):
    sweep = make_sweep(axis={"key": "data.max_train_samples", "values": [100, 4000]})
    lines = [
        make_line("glue/rte", "full", {"accuracy": 60.0}, axis=size, train_rows=min(size, 2490))
        for size in (100, 4000)
    ]
    comparison = comparison_of(sweep, lines)
    assert comparison.cell("glue/rte", "full", 100).capped is None
    assert comparison.cell("glue/rte", "full", 4000).capped == 2490


def test_an_axis_of_something_else_caps_nothing(make_sweep, make_line):
    sweep = make_sweep(axis={"key": "train.warmup_steps", "values": [4000]})
    line = make_line("glue/rte", "full", {"accuracy": 60.0}, axis=4000, train_rows=2490)
    assert comparison_of(sweep, [line]).cell("glue/rte", "full", 4000).capped is None


def test_an_average_is_the_flat_mean_over_all_numbers(make_sweep, make_line):
    """A task of two metrics counts twice, as in the paper; its deviation is that of the seeds."""
    sweep = make_sweep(tasks=["glue/rte", "glue/mrpc"], seeds=[1, 2])
    lines = [
        make_line("glue/rte", "full", {"accuracy": rte}, seed=seed)
        for seed, rte in ((1, 70.0), (2, 72.0))
    ] + [
        make_line("glue/mrpc", "full", {"accuracy": 80.0 + seed, "f1": 90.0}, seed=seed)
        for seed in (1, 2)
    ]
    found = average(comparison_of(sweep, lines).row("full"))
    assert found.mean == pytest.approx((71.0 + 81.5 + 90.0) / 3)
    assert found.by_seed == pytest.approx([(70 + 81 + 90) / 3, (72 + 82 + 90) / 3])
    assert found.over == ("glue/rte", "glue/mrpc")


def test_an_average_over_some_tasks_says_which(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/mrpc"])
    comparison = comparison_of(sweep, [make_line("glue/rte", "full", {"accuracy": 70.0})])
    assert average(comparison.row("full")).over == ("glue/rte",)
    assert average(comparison.row("compacter")) is None


def test_a_deviation_needs_two_values():
    assert deviation([70.0]) is None
    assert deviation([70.0, 72.0, 71.5]) == stdev([70.0, 72.0, 71.5])


def test_names_of_tasks_and_metrics():
    assert task_title("glue/sst2", ["glue/sst2"]) == "SST-2"
    assert task_title("demo/entailment", ["demo/entailment"]) == "entailment"
    assert task_title("glue/rte", ["glue/rte", "my/rte"]) == "glue/rte"
    assert metric_names("glue/mrpc", ("f1", "accuracy")) == ("accuracy", "f1")
    assert metric_names("my/task", ("b", "a")) == ("b", "a")

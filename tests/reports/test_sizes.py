"""What rows train and add, counted as the paper counts."""

import pytest

from compacter_cli.reports.cells import outcome_of
from compacter_cli.reports.sizes import row_size

BASE = 222_882_048


def size_of(sweep, lines, arm="compacter"):
    return row_size(sweep, outcome_of(sweep, lines).row(arm))


def line_of(make_line, task, **changes):
    """Compacter, n = 4, d = 24, on T5-base: 161,728 parameters, 47,616 of them layer norms."""
    metric = {"glue/rte": "accuracy", "glue/cola": "matthews"}[task]
    return make_line(
        task, "compacter", {metric: 60.0},
        **{"preset": "t5_base_multi", "trained_parameters": 161_728, **changes},
    )  # fmt: skip


def test_every_task_adds_what_it_has_of_its_own(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"])
    found = size_of(sweep, [line_of(make_line, task) for task in sweep.tasks])
    assert found.least == found.most == pytest.approx(100 * 161_728 / BASE)
    assert found.total == pytest.approx(1 + 2 * (161_728 - 47_616) / BASE)


def test_tasks_that_chose_otherwise_train_otherwise(make_sweep, make_line):
    search = {"method.n": [4, 12]}
    sweep = make_sweep(
        tasks=["glue/rte", "glue/cola"], arms=[{"name": "compacter", "search": search}]
    )
    lines = [
        line_of(make_line, "glue/rte", setting={"method.n": 4}),
        line_of(make_line, "glue/cola", setting={"method.n": 12}, trained_parameters=163_392),
    ]
    found = size_of(sweep, lines)
    assert (found.least, found.most) == pytest.approx((100 * 161_728 / BASE, 100 * 163_392 / BASE))


def test_the_runs_own_settings_are_counted_where_the_index_has_them(make_sweep, make_line):
    settings = {"name": "compacter", "n": 12}
    line = line_of(make_line, "glue/rte", trained_parameters=163_392, method_settings=settings)
    assert size_of(make_sweep(), [line]).total is not None


@pytest.mark.parametrize(
    "changes",
    [{"trained_parameters": 163_392}, {"preset": "gone/preset"}, {"method": "of_later"},
     {"method_settings": {"name": "compacter", "n": 5}}],
)  # fmt: skip
def test_what_cannot_be_counted_is_as_the_run_says(make_sweep, make_line, changes):
    found = size_of(make_sweep(), [line_of(make_line, "glue/rte", trained_percent=7.0, **changes)])
    assert (found.least, found.most, found.total) == (7.0, 7.0, None)


def test_full_fine_tuning_needs_a_backbone_a_task(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte"])
    line = make_line(
        "glue/rte", "full", {"accuracy": 60.0}, preset="t5_base_multi",
        trained_parameters=222_903_552,
    )  # fmt: skip
    assert size_of(sweep, [line], "full") == (100.0, 100.0, 1.0)


def test_a_row_with_a_missing_cell_has_no_total(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"])
    assert size_of(sweep, [line_of(make_line, "glue/rte")]).total is None
    assert size_of(sweep, []) is None

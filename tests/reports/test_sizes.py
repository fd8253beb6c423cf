"""What rows train and add, counted as the paper counts."""

import pytest

from compacter_cli.reports.cells import comparison_of
from compacter_cli.reports.sizes import row_size

BASE = 222_882_048


def size_of(sweep, lines, arm="compacter"):
    return row_size(comparison_of(sweep, lines).row(arm))


def line_of(make_line, task, n=4, trained=161_728, **changes):
    """Compacter, n = 4, d = 24, on T5-base: 161,728 parameters, 47,616 of them layer norms."""
    metric = {"glue/rte": "accuracy", "glue/cola": "matthews"}[task]
    return make_line(
        task,
        "compacter",
        {metric: 60.0},
        preset="t5_base_multi",
        trained_parameters=trained,
        **{"method_settings": {"name": "compacter", "n": n}, **changes},
    )


def test_every_task_adds_what_it_has_of_its_own(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"])
    found = size_of(sweep, [line_of(make_line, task) for task in sweep.tasks])
    assert found.least == found.most == pytest.approx(100 * 161_728 / BASE)
    assert found.total == pytest.approx(1 + 2 * (161_728 - 47_616) / BASE)


def test_tasks_that_chose_otherwise_train_otherwise(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"])
    lines = [line_of(make_line, "glue/rte"), line_of(make_line, "glue/cola", 12, 163_392)]
    found = size_of(sweep, lines)
    assert (found.least, found.most) == pytest.approx((100 * 161_728 / BASE, 100 * 163_392 / BASE))
    assert found.total == pytest.approx(1 + (161_728 + 163_392 - 2 * 47_616) / BASE)


@pytest.mark.parametrize(
    "changes",
    [
        {"trained": 163_392},
        {"method": "of_later"},
        {"method_settings": {"name": "compacter", "n": 5}},
        {"method_settings": {"name": "compacter", "later": 5}},
    ],
)
def test_what_cannot_be_counted_is_as_the_run_says(make_sweep, make_line, changes):
    found = size_of(make_sweep(), [line_of(make_line, "glue/rte", trained_percent=7.0, **changes)])
    assert found == (7.0, 7.0, None)


def test_a_preset_that_is_gone_is_as_the_run_says(make_sweep, make_line):
    line = {**line_of(make_line, "glue/rte", trained_percent=7.0), "preset": "gone/preset"}
    assert size_of(make_sweep(), [line]) == (7.0, 7.0, None)


def test_full_fine_tuning_needs_a_backbone_a_task(make_sweep, make_line):
    line = make_line(
        "glue/rte",
        "full",
        {"accuracy": 60.0},
        preset="t5_base_multi",
        trained_parameters=222_903_552,
    )
    assert size_of(make_sweep(), [line], "full") == (100.0, 100.0, 1.0)


def test_a_row_with_a_missing_cell_has_no_total(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"])
    assert size_of(sweep, [line_of(make_line, "glue/rte")]).total is None
    assert size_of(sweep, []) is None

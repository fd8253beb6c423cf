"""Tables by a key's values, of settings, of choices and of what came to nothing."""

import pytest

from compacter_cli.reports.cells import comparison_of
from compacter_cli.reports.setting_tables import (
    choice_table,
    key_table,
    runs_table,
    searched_keys,
    settings_table,
    unfinished_table,
)


@pytest.fixture
def comparison(make_sweep, make_line):
    """Compacter at two d and two n, of which one failed; full has nothing to search."""
    search = {"method.bottleneck": [48, 24], "method.n": [4, 8]}
    sweep = make_sweep(arms=[{"name": "full"}, {"name": "compacter", "search": search}])
    scores = {(48, 4): (70.0, 61.0), (48, 8): (72.0, 62.0), (24, 4): (75.0, 63.0)}
    lines = [
        make_line(
            "glue/rte", "compacter", {"accuracy": test}, validation_mean=validation,
            setting={"method.bottleneck": d, "method.n": n}, run=f"d{d}n{n}",
        )
        for (d, n), (validation, test) in scores.items()
    ]  # fmt: skip
    failed = {"method.bottleneck": 24, "method.n": 8}
    lines.append(
        make_line("glue/rte", "compacter", setting=failed, state="failed", error="out of memory")
    )
    return comparison_of(sweep, [*lines, make_line("glue/rte", "full", {"accuracy": 60.0})])


def texts(table):
    return [[entry.text for entry in row.entries] for row in table.rows]


def test_by_a_key_the_others_are_chosen_on_validation(comparison):
    assert searched_keys(comparison) == ["method.bottleneck", "method.n"]
    by_d, by_n = (key_table(comparison, key) for key in searched_keys(comparison))
    assert texts(by_d) == [
        ["Compacter", "48", "62.00", "62.00"],
        ["Compacter", "24", "63.00", "63.00"],
    ]
    assert texts(by_n) == [
        ["Compacter", "4", "63.00", "63.00"],
        ["Compacter", "8", "62.00", "62.00"],
    ]
    assert [row.entries[2].best for row in by_d.rows] == [False, True]
    assert [row.entries[2].best for row in by_n.rows] == [True, False]


def test_all_settings_are_there_the_failed_one_too(comparison):
    table = settings_table(comparison)
    assert texts(table) == [
        ["RTE", "T5 (full fine-tuning)", "-", "-", "60.00", "60.00", "1 of 1"],
        ["RTE", "Compacter", "48", "4", "70.00", "61.00", "1 of 1"],
        ["RTE", "Compacter", "48", "8", "72.00", "62.00", "1 of 1"],
        ["RTE", "Compacter", "24", "4", "75.00", "63.00", "1 of 1"],
        ["RTE", "Compacter", "24", "8", "-", "-", "failed"],
    ]
    assert [row.entries[4].best for row in table.rows] == [True, False, False, True, False]


def test_a_choice_says_what_it_was_out_of(comparison):
    assert texts(choice_table(comparison)) == [
        ["RTE", "Compacter", "24", "4", "0.003", "75.00", "63.00", "3 of 4"]
    ]


def test_runs_without_a_result_say_why(comparison, make_sweep, make_line):
    assert texts(unfinished_table(comparison)) == [
        ["glue/rte", "compacter", "bottleneck 24, n 8", "42", "failed", "out of memory",
         "runs/glue/rte/compacter/s42"],
    ]  # fmt: skip
    line = make_line("glue/rte", "full", {"accuracy": 60.0})
    assert unfinished_table(comparison_of(make_sweep(), [line])) is None


def test_every_finished_run_has_a_row(comparison):
    table = runs_table(comparison)
    assert [row.entries[-1].text for row in table.rows] == [
        "runs/glue/rte/full/s42", "d48n4", "d48n8", "d24n4",
    ]  # fmt: skip
    assert table.rows[3].entries[6].values == {"": 63.0, "accuracy": 63.0}

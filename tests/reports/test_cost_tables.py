"""Costs of trainings, and Table 3 by both definitions of a delta."""

import pytest

from compacter_cli.paper.tables import paper_tables
from compacter_cli.reports.cells import comparison_of
from compacter_cli.reports.cost_tables import cost_table, profile_table


def profiled(make_line, arm, memory, minutes, batch=100):
    """A measured step; `memory` is megabytes an example."""
    return make_line(
        "glue/mnli", arm, state="finished", step_ms=250.0, minutes_per_epoch=minutes, batch=batch,
        peak_memory_bytes=round(memory * batch * 1e6),
    )  # fmt: skip


def values(row, *titles, table):
    places = [[column.title for column in table.columns].index(title) for title in titles]
    return [row.entries[place].values.get("") for place in places]


def test_over_the_papers_own_figures_ours_and_its_rows_agree(shipped_sweep, make_line):
    sweep = shipped_sweep("table3")
    rows = paper_tables()["table3"]
    lines = [
        profiled(make_line, arm.name, row["memory_mb"], row["minutes_per_epoch"])
        for arm in sweep.arms
        for row in [rows["prompt" if arm.name.startswith("prompt_") else arm.name]]
    ]
    table = profile_table(comparison_of(sweep, lines))
    assert len(table.rows) == 2 * len(sweep.arms)
    for ours, paper in zip(table.rows[::2], table.rows[1::2], strict=True):
        assert [entry.text for entry in ours.entries[5:]] == [e.text for e in paper.entries[5:]]


def test_both_definitions_are_recomputed_and_the_printed_ones_found(shipped_sweep):
    table = profile_table(comparison_of(shipped_sweep("table3"), []))
    row = next(
        row for row in table.rows
        if row.entries[1].text == "paper" and row.entries[0].values[""] == "Compacter++"
    )  # fmt: skip
    full, own, time = values(row, "Δ memory", "Δ own", "Δ time", table=table)
    assert full == pytest.approx(-29.55, abs=0.005)  # (118.35 - 167.99) / 167.99
    assert own == pytest.approx(-41.94, abs=0.005)  # as printed: (118.35 - 167.99) / 118.35
    assert time == pytest.approx(-26.51, abs=0.005)


def test_an_arm_that_was_not_measured_is_a_dash_and_a_note(make_sweep, make_line):
    sweep = make_sweep(measure={}, tasks=["glue/mnli"])
    failed = make_line("glue/mnli", "compacter", state="failed", error="out of memory")
    table = profile_table(comparison_of(sweep, [profiled(make_line, "full", 100.0, 40.0), failed]))
    assert [entry.text for entry in table.rows[0].entries] == [
        "T5 (full fine-tuning)", "ours", "0.322", "100", "250.0", "100.00", "-", "-", "40.00", "-",
    ]  # fmt: skip
    assert {entry.text for entry in table.rows[1].entries[2:]} == {"-"}
    assert table.notes[-1] == "compacter: failed, out of memory"


def test_a_trainings_cost_is_the_mean_over_its_chosen_runs(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"])
    lines = [
        make_line("glue/rte", "full", {"accuracy": 60.0}, training_seconds=10.0),
        make_line("glue/cola", "full", {"matthews": 60.0}, training_seconds=30.0),
    ]
    full, compacter = cost_table(comparison_of(sweep, lines)).rows
    assert [entry.text for entry in full.entries[2:]] == ["20", "700", "25.2"]
    assert {entry.text for entry in compacter.entries[1:]} == {"-"}

"""Shares of full fine-tuning's gain, by hand."""

import pytest

from compacter_cli.reports.cells import comparison_of
from compacter_cli.reports.gain_table import gain_table


@pytest.fixture
def comparison(make_sweep, make_line):
    """Full gains 30 and 20 over majorities of 50 and 0, Compacter 24 and 15."""
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"], seeds=[1, 2])
    lines = [
        make_line("glue/rte", "full", {"accuracy": 80.0}, majority={"accuracy": 50.0}),
        make_line("glue/cola", "full", {"matthews": 20.0}, majority={"matthews": 0.0}),
        make_line("glue/rte", "compacter", {"accuracy": 73.0}, majority={"accuracy": 50.0}, seed=1),
        make_line("glue/rte", "compacter", {"accuracy": 75.0}, majority={"accuracy": 50.0}, seed=2),
        make_line("glue/cola", "compacter", {"matthews": 15.0}, majority={"matthews": 0.0}),
    ]
    return comparison_of(sweep, lines)


def test_a_deviation_is_explained_where_there_can_be_one(comparison, make_sweep, make_line):
    assert "±" in gain_table(comparison).notes[0]
    line = make_line("glue/rte", "full", {"accuracy": 80.0})
    assert "±" not in gain_table(comparison_of(make_sweep(), [line])).notes[0]


def test_shares_by_task_and_summed(comparison):
    full, compacter = gain_table(comparison).rows
    assert [entry.text for entry in full.entries] == [
        "T5 (full fine-tuning)", "4,976", "80.0 (100 %)", "20.0 (100 %)", "100 %",
    ]  # fmt: skip
    assert [entry.text for entry in compacter.entries[2:]] == [
        "74.0 ± 1.4 (80 %)", "15.0 (75 %)", "78 %",
    ]  # fmt: skip
    assert compacter.entries[4].values[""] == pytest.approx(39 / 50)


@pytest.mark.parametrize("full", [40.0, 50.0, 50.9])
def test_no_share_of_less_than_a_point(make_sweep, make_line, full):
    lines = [
        make_line("glue/rte", "full", {"accuracy": full}),
        make_line("glue/rte", "compacter", {"accuracy": 60.0}),
    ]
    table = gain_table(comparison_of(make_sweep(), lines))
    assert [row.entries[2].text for row in table.rows] == [f"{full} (-)", "60.0 (-)"]
    assert [row.entries[3].text for row in table.rows] == ["-", "-"]


def test_full_fine_tuning_is_told_by_its_runs_where_its_arm_has_another_name(make_sweep, make_line):
    sweep = make_sweep(arms=[{"name": "rte_compacter"}, {"name": "rte_full"}])
    lines = [
        make_line("glue/rte", "rte_full", {"accuracy": 80.0}, method="full"),
        make_line("glue/rte", "rte_compacter", {"accuracy": 65.0}, method="compacter"),
    ]
    table = gain_table(comparison_of(sweep, lines))
    assert [row.entries[3].text for row in table.rows] == ["50 %", "100 %"]


def test_no_sum_where_a_task_is_missing(make_sweep, make_line):
    sweep = make_sweep(tasks=["glue/rte", "glue/cola"])
    lines = [make_line("glue/rte", arm, {"accuracy": 60.0}) for arm in ("full", "compacter")]
    table = gain_table(comparison_of(sweep, lines))
    assert [row.entries[-1].text for row in table.rows] == ["-", "-"]
    assert [row.entries[3].text for row in table.rows] == ["missing", "missing"]


def test_without_full_fine_tuning_there_is_no_table(make_sweep, make_line):
    line = make_line("glue/rte", "compacter", {"accuracy": 60.0})
    assert gain_table(comparison_of(make_sweep(), [line])) is None
    assert gain_table(comparison_of(make_sweep(arms=[{"name": "compacter"}]), [line])) is None

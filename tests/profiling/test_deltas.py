"""Deltas against full fine-tuning, by hand from the figures printed in the paper's Table 3."""

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.paper.tables import paper_tables
from compacter_cli.profiling.deltas import delta, paper_deltas, with_deltas


def test_a_delta_is_of_full_fine_tunings_own_figure():
    assert delta(75, 100) == -25
    assert delta(150, 100) == 50


@pytest.mark.parametrize(
    ("method", "time", "memory"),
    [
        ("full", 0.0, 0.0),
        ("compacterpp", -26.51, -29.55),  # printed -26.51 and -41.94
        ("compacter", -13.41, -26.24),
        ("prompt_r", 5.72, 32.31),
        ("prompt_t", 5.72, 32.31),
        ("said", 241.82, 69.89),
        ("bitfit", -35.06, -39.10),
    ],
)
def test_the_papers_table_by_the_same_definition(method, time, memory):
    assert paper_deltas(method) == pytest.approx({"time": time, "memory": memory}, abs=0.005)


def test_the_printed_time_column_is_by_this_definition_and_the_memory_column_is_not():
    table = paper_tables()["table3"]
    rows = {m: table.get("prompt" if m.startswith("prompt") else m) for m in METHODS}
    compared = {method: row for method, row in rows.items() if row and method != "full"}
    assert len(compared) == 11
    for method, printed in compared.items():
        assert paper_deltas(method)["time"] == pytest.approx(printed["time_delta"], abs=0.011)
        assert abs(paper_deltas(method)["memory"] - printed["memory_delta"]) > 5


def test_a_method_that_is_not_in_the_paper_has_no_deltas_of_it():
    assert paper_deltas("krona") == {"time": None, "memory": None}


def row(method, milliseconds, size):
    return {"method": method, "example_ms": milliseconds, "example_bytes": size}


def test_rows_get_deltas_against_full_wherever_it_stands():
    given = [row("compacter", 3.0, 50), row("full", 4.0, 200)]
    compacter, full = with_deltas(given)
    assert compacter["delta_percent"] == {"time": -25.0, "memory": -75.0}
    assert full["delta_percent"] == {"time": 0.0, "memory": 0.0}
    assert given == [row("compacter", 3.0, 50), row("full", 4.0, 200)]


@pytest.mark.parametrize("others", [[], [{"method": "full", "failed": "out of memory"}]])
def test_without_full_fine_tunings_figures_there_is_no_delta(others):
    found = with_deltas([row("compacter", 3.0, 50), *others])
    assert found[0]["delta_percent"] is None
    assert found[1:] == others

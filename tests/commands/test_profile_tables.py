"""Figures as the tables print them."""

import pytest

from compacter_cli.commands.profile_tables import cost_table, delta_table, duration, heading, legend

FOUND = {
    "backbone": "t5_small_multi",
    "batch": 16,
    "accumulate": 1,
    "source": 128,
    "target": 4,
    "precision": "float32",
    "device": "cpu",
    "device_name": "cpu",
    "threads": 1,
    "torch": "2.13.0",
    "steps": 5,
    "task": "glue/rte",
    "vocabulary": "presets/t5",
    "budget_bytes": None,
    "methods": [{"method": "phm", "failed": "512 % 12"}],
}


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.04, "9.0 s"), (150, "2.5 min"), (3600 * 2.25, "2.2 h")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_the_heading_says_what_was_measured_and_where():
    assert heading(FOUND) == (
        "t5_small_multi, random weights, batch 16, 128 source and 4 target tokens, float32 on "
        "cpu, 1 thread, torch 2.13.0"
    )
    assert "batch 16 x 2 accumulated, " in heading({**FOUND, "accumulate": 2})
    assert "the largest batch within 24.00 GB" in heading({**FOUND, "budget_bytes": 24 * 10**9})


def test_the_legend_says_why_a_method_failed_and_how_its_memory_was_measured():
    lines = list(legend(FOUND))
    assert lines[0] == "phm: 512 % 12"
    assert any("(x - full) / full" in line for line in lines)
    assert any("RSS" in line for line in lines)
    assert any("allocator" in line for line in legend({**FOUND, "device": "cuda"}))


def test_the_legend_says_how_much_of_the_epoch_was_timed():
    epoch = {"mean_source_tokens": 75.2, "timed_examples": 80, "examples": 2490}
    text = "\n".join(legend({**FOUND, "methods": [{"method": "full", "epoch": epoch}]}))
    assert "75 source tokens on average in the vocabulary of presets/t5" in text
    assert "80 of 2,490 examples timed" in text


def cells_of(table):
    """The rows of a rich table, as texts."""
    return [list(row) for row in zip(*(column.cells for column in table.columns), strict=True)]


MEASURED = {
    "method": "lora",
    "batch": 16,
    "step_ms": {"median": 1234.5, "min": 99.64, "max": 2000.0},
    "example_ms": 77.16,
    "tokens_per_second": 1711.0,
    "weight_bytes": 892_000_000,
    "growth_bytes": 1_234_567,
    "saved_bytes": 55_000_000,
    "example_bytes": 5_000_000.0,
    "epoch": None,
    "trained": 38_016,
    "percent": 0.01706,
    "percent_own": 0.01705,
    "paper_delta_percent": {"time": None, "memory": None},
    "delta_percent": {"time": -12.345, "memory": 6.789},
}


def test_a_method_without_a_row_in_the_paper_has_dashes_there():
    (cells,) = cells_of(delta_table({**FOUND, "methods": [MEASURED]}))
    assert cells == ["lora", "16", "77.2", "-12.35", "-", "5.00", "+6.79", "-", "-"]


def test_without_full_fine_tuning_its_deltas_are_dashes_and_the_papers_stay():
    row = {
        **MEASURED,
        "delta_percent": None,
        "paper_delta_percent": {"time": -26.51, "memory": -29.55},
        "epoch": {"seconds": 150.0},
    }
    (cells,) = cells_of(delta_table({**FOUND, "methods": [row]}))
    assert cells == ["lora", "16", "77.2", "-", "-26.51", "5.00", "-", "-29.55", "2.5 min"]


def test_the_costs_of_a_step():
    (cells,) = cells_of(cost_table({**FOUND, "methods": [MEASURED]}))
    assert cells == [
        "lora",
        "0.0171",
        "0.0170",
        "1,234",
        "99.6-2,000",
        "1,711",
        "892",
        "1.23",
        "55",
    ]


def test_a_method_that_failed_has_its_counts_if_any_and_dashes():
    counted = {"method": "said", "failed": "out of memory", "percent": 0.1, "percent_own": 0.2}
    rows = [
        {**row, "paper_delta_percent": {"time": 241.82, "memory": 69.89}}
        for row in (counted, *FOUND["methods"])
    ]
    found = {**FOUND, "methods": rows}
    assert cells_of(cost_table(found)) == [
        ["said", "0.1000", "0.2000", "failed", *["-"] * 5],
        ["phm", "-", "-", "failed", *["-"] * 5],
    ]
    for cells in cells_of(delta_table(found)):
        assert cells[1:] == ["-", "-", "-", "+241.82", "-", "-", "+69.89", "-"]

"""Figures as the tables print them."""

import pytest

from compacter_cli.commands.profile_tables import (
    COSTS,
    HEAD,
    duration,
    heading,
    legend,
    measured_line,
    rows_of,
)

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


def costs_of(found):
    """The cells of every method that say what a step takes."""
    assert all(len(row) == len(HEAD) for row in rows_of(found))
    return [list(row[:COSTS]) for row in rows_of(found)[1:]]


def deltas_of(found):
    """The cells of every method that compare it."""
    return [[row[0], *row[COSTS:]] for row in rows_of(found)[1:]]


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
    (cells,) = deltas_of({**FOUND, "methods": [MEASURED]})
    assert cells == ["lora", "55", "16", "77.2", "-12.35", "-", "5.00", "+6.79", "-", "-"]


def test_without_full_fine_tuning_its_deltas_are_dashes_and_the_papers_stay():
    row = {
        **MEASURED,
        "delta_percent": None,
        "paper_delta_percent": {"time": -26.51, "memory": -29.55},
        "epoch": {"seconds": 150.0},
    }
    (cells,) = deltas_of({**FOUND, "methods": [row]})
    assert cells == ["lora", "55", "16", "77.2", "-", "-26.51", "5.00", "-", "-29.55", "2.5 min"]


def test_the_costs_of_a_step():
    (cells,) = costs_of({**FOUND, "methods": [MEASURED]})
    assert cells == [
        "lora",
        "0.0171",
        "0.0170",
        "1,234",
        "99.6-2,000",
        "1,711",
        "892",
        "1.23",
    ]


def test_a_method_that_failed_has_its_counts_if_any_and_dashes():
    counted = {"method": "said", "failed": "out of memory", "percent": 0.1, "percent_own": 0.2}
    rows = [
        {**row, "paper_delta_percent": {"time": 241.82, "memory": 69.89}}
        for row in (counted, *FOUND["methods"])
    ]
    found = {**FOUND, "methods": rows}
    assert costs_of(found) == [
        ["said", "0.1000", "0.2000", "failed", *["-"] * 4],
        ["phm", "-", "-", "failed", *["-"] * 4],
    ]
    for cells in deltas_of(found):
        assert cells[1:] == ["-", "-", "-", "-", "+241.82", "-", "-", "+69.89", "-"]


def test_a_method_is_told_in_a_line_once_it_is_measured():
    assert measured_line(MEASURED) == (
        "lora: 1,234 ms/step, 1,711 tokens/s, weights 892 MB, growth 1.23 MB"
    )
    assert measured_line(FOUND["methods"][0]) == "phm: failed: 512 % 12"

"""Figures as the tables print them."""

import pytest

from compacter_cli.commands.profile_tables import duration, heading, legend

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

"""A profile as tables and lines; nothing here prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.errors import counted
from compacter_cli.files import size_text
from compacter_cli.profiling.deltas import DEFINITION, NO_DELTAS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compacter_cli.profiling.rows import Measured, Profile, Row

HEAD = (
    "method", "%", "% own", "ms/step", "min-max", "tokens/s", "weights", "growth", "kept",
    "batch", "ms/ex.", "time %", "paper %", "MB/ex.", "mem. %", "paper %", "epoch",
)  # fmt: skip
COSTS = 8
PAPER = (
    "paper: its Table 3 recomputed by the same definition (T5-base, one epoch of MNLI at the "
    "largest batch of 24 GB; n = 4, d = 24, 100 prompts, said at d' = 1,400)"
)


def rows_of(profile: Profile) -> list[tuple[str, ...]]:
    """A head and a row a method: what a step takes; and against full fine-tuning, after `COSTS`
    columns, its time, memory and epoch beside the paper's."""
    return [HEAD, *(_row(row) for row in profile["methods"])]


def _row(row: Row) -> tuple[str, ...]:
    shares = map(_share, (row.get("percent"), row.get("percent_own")))
    costs = ["failed", *["-"] * 4] if "failed" in row else _costs(row)
    return (row["method"], *shares, *costs, *_against_full(row))


def measured_line(row: Row) -> str:
    """What was measured of a method, in a line, as soon as it is known."""
    if "failed" in row:
        return f"{row['method']}: failed: {row['failed']}"
    return (
        f"{row['method']}: {_time(row['step_ms']['median'])} ms/step, "
        f"{row['tokens_per_second']:,.0f} tokens/s, weights {_megabytes(row['weight_bytes'])} MB, "
        f"growth {_megabytes(row['growth_bytes'])} MB"
    )


def _costs(row: Measured) -> list[str]:
    step = row["step_ms"]
    return [
        _time(step["median"]),
        f"{_time(step['min'])}-{_time(step['max'])}",
        f"{row['tokens_per_second']:,.0f}",
        _megabytes(row["weight_bytes"]),
        _megabytes(row["growth_bytes"]),
    ]


def _against_full(row: Row) -> tuple[str, ...]:
    paper, kept = row["paper_delta_percent"], "-"
    if "failed" not in row:
        kept = _megabytes(row["saved_bytes"])
    batch, ms, time, megabytes, memory, epoch = _of_an_example(row)
    times = (ms, time, _percent(paper["time"]))
    return kept, batch, *times, megabytes, memory, _percent(paper["memory"]), epoch


def _of_an_example(row: Row) -> list[str]:
    """Batch, milliseconds, their delta, megabytes, their delta, and the epoch; dashes if failed."""
    if "failed" in row:
        return ["-"] * 6
    deltas, epoch = row["delta_percent"] or NO_DELTAS, row["epoch"]
    return [
        f"{row['batch']:,}",
        _time(row["example_ms"]),
        _percent(deltas["time"]),
        _megabytes(row["example_bytes"]),
        _percent(deltas["memory"]),
        duration(epoch["seconds"]) if epoch else "-",
    ]


def heading(profile: Profile) -> str:
    """What was measured, and where."""
    batch = "the largest batch" if profile["budget_bytes"] else f"batch {profile['batch']}"
    times = f" x {profile['accumulate']} accumulated" if profile["accumulate"] > 1 else ""
    within = f" within {size_text(profile['budget_bytes'])}" if profile["budget_bytes"] else ""
    return (
        f"{profile['backbone']}, random weights, {batch}{times}{within}, "
        f"{profile['source']} source and {profile['target']} target tokens, "
        f"{profile['precision']} on {profile['device_name']}, "
        f"{counted(profile['threads'], 'thread')}, torch {profile['torch']}"
    )


def legend(profile: Profile) -> Iterator[str]:
    """What the columns mean, and why a method failed, a line each."""
    for row in profile["methods"]:
        if "failed" in row:
            yield f"{row['method']}: {row['failed']}"
    yield (
        "%: trained, as the paper counts (at most 32,100 rows of vocabulary); % own: of the "
        "backbone as it is"
    )
    yield (
        f"ms/step: median of {counted(profile['steps'], 'whole training step')}; tokens/s: "
        "source and target, padding and prompts not counted"
    )
    yield f"in MB, weights: all constants too; {_growth(profile)}; kept: tensors kept for backward"
    epochs = (row["epoch"] for row in profile["methods"] if "failed" not in row)
    if epoch := next(filter(None, epochs), None):
        yield (
            f"epoch: {profile['task']} at its real lengths, {epoch['mean_source_tokens']:.0f} "
            f"source tokens on average in the vocabulary of {profile['vocabulary']}; "
            f"{epoch['timed_examples']:,} of {epoch['examples']:,} examples timed"
        )
    yield f"time, mem.: {DEFINITION}, of ms and of weights + growth an example"
    yield PAPER


def _growth(profile: Profile) -> str:
    if profile["device"].startswith("cuda"):
        return "growth: what the allocator gave out more at the peak of a step"
    return "growth: of the process (RSS) to its peak in the steps"


def duration(seconds: float) -> str:
    """Seconds as people read them."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def _share(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.4f}"


def _time(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _megabytes(count: float) -> str:
    return f"{count / 1e6:,.0f}" if count >= 1e7 else f"{count / 1e6:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f}"

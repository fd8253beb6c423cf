"""What the arms of a sweep cost: time and memory of trainings, and Table 3 of the paper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from compacter_cli.paper.tables import paper_tables
from compacter_cli.profiling.deltas import delta
from compacter_cli.reports.cells import title_of
from compacter_cli.reports.entries import head_columns, head_entries, percent_text
from compacter_cli.reports.setting_tables import chosen_notes
from compacter_cli.reports.sizes import row_size
from compacter_cli.reports.table import ABSENT, EMPTY, Column, Entry, Row, Table, number, words

if TYPE_CHECKING:
    from compacter_cli.reports.cells import Cell, Comparison
    from compacter_cli.sweeps.records import IndexLine
    from compacter_cli.sweeps.sections import Arm, Sweep


class Cost(NamedTuple):
    """What runs took, the mean over those that were chosen: seconds and bytes."""

    seconds: float | None
    memory: float | None
    adapter: float | None


def cost_of(cells: Sequence[Cell]) -> Cost:
    """The cost of a row: of its chosen runs."""
    lines = [line for cell in cells if cell.chosen for line in cell.chosen.finished]
    keys = ("training_seconds", "peak_memory_bytes", "adapter_bytes")
    return Cost(*(_mean(line.get(key) for line in lines) for key in keys))


def _mean(values: Any) -> float | None:
    found = [value for value in values if value is not None]
    return fmean(found) if found else None


def cost_table(comparison: Comparison) -> Table:
    """What trains, and the time, memory and file of a run, by arm."""
    columns = (
        *head_columns(comparison.sweep),
        *(Column(title) for title in ("trained %", "seconds", "peak MB", "adapter kB")),
    )
    rows = tuple(_cost_row(comparison, arm, axis) for arm, axis in comparison.rows())
    notes = (
        "means over the chosen runs; memory is of the whole process, as the run recorded it",
        *chosen_notes(comparison),
    )
    return Table("Cost of a run", columns, rows, notes, len(head_columns(comparison.sweep)))


def _cost_row(comparison: Comparison, arm: Arm, axis: Any) -> Row:
    sweep, cells = comparison.sweep, comparison.row(arm.name, axis)
    cost, size = cost_of(cells), row_size(cells)
    entries = (
        ABSENT if size is None else _percent_entry(size.least),
        number(cost.seconds, ",.0f"),
        number(_scaled(cost.memory, 1e6), ",.0f"),
        number(_scaled(cost.adapter, 1e3), ",.1f"),
    )
    return Row((*head_entries(sweep, arm, axis), *entries), arm.name)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


class Step(NamedTuple):
    """What a training step takes: megabytes an example, minutes an epoch."""

    memory: float
    minutes: float | None


_PROFILE_NOTES = (
    "MB/example: peak memory over the batch, as the paper's column reads; each method at the batch "
    "it was measured with",
    "Δ in percent: (x - full) / full; Δ own: memory by (x - full) / x, as the paper prints it: its "
    "-41.94 for Compacter++ is -29.55 by the same definition as time",
    "paper: its Table 3 (T5-base, an epoch of MNLI, the largest batch of 24 GB; n = 4, d = 24, "
    "100 prompt tokens, said at d' = 1,400); it prints the percentages of PHM at n = 12 and of "
    "said at d' = 20,000",
)


def profile_table(comparison: Comparison) -> Table:
    """Table 3 of the paper: time and memory of each arm against full fine-tuning."""
    sweep = comparison.sweep
    lines = _measured(comparison)
    reference = lines.get("full")
    columns = (
        Column("method", words=True),
        Column("numbers", words=True),
        *map(Column, ("trained %", "batch", "ms/step", "MB/example", "Δ memory", "Δ own")),
        *map(Column, ("min/epoch", "Δ time")),
    )
    rows = tuple(row for arm in sweep.arms for row in _profile_rows(sweep, arm, lines, reference))
    return Table(sweep.title, columns, rows, (*_PROFILE_NOTES, *_missing(comparison, lines)), 2)


def _measured(comparison: Comparison) -> dict[str, IndexLine]:
    """The first measured line of every arm."""
    found: dict[str, IndexLine] = {}
    for line in comparison.lines():
        if line["state"] == "finished" and "step_ms" in line:
            found.setdefault(line["arm"], line)
    return found


def _missing(comparison: Comparison, lines: dict[str, IndexLine]) -> Iterator[str]:
    for line in comparison.lines():
        if line["arm"] not in lines:
            yield f"{line['arm']}: {line['state']}" + (
                f", {line['error']}" if "error" in line else ""
            )


def _profile_rows(
    sweep: Sweep, arm: Arm, lines: dict[str, IndexLine], reference: IndexLine | None
) -> Iterator[Row]:
    """The row of an arm's measured step, and that of the paper's."""
    name, line = title_of(arm), lines.get(arm.name)
    others = reference if arm.name != "full" else None
    ours = _measured_entries(line, others) if line else [ABSENT] * 8
    yield Row((words(name), words("ours"), *ours), arm.name)
    if sweep.paper == "table3" and (step := _paper_step(arm.name)):
        percent = paper_tables()["table1"][arm.name]["trained_percent"]
        full = None if arm.name == "full" else _paper_step("full")
        entries = (_percent_entry(percent), EMPTY, EMPTY, *_step_entries(step, full))
        yield Row((Entry("", {"": name}), words("paper"), *entries), arm.name)


def _measured_entries(line: IndexLine, reference: IndexLine | None) -> list[Entry]:
    return [
        _percent_entry(line["trained_percent"]),
        number(line.get("batch"), ",d"),
        number(line.get("step_ms"), ",.1f"),
        *_step_entries(_step(line), _step(reference) if reference else None),
    ]


def _percent_entry(value: float) -> Entry:
    return Entry(percent_text(value), {"": value})


def _step(line: IndexLine) -> Step:
    return Step(
        line.get("peak_memory_bytes", 0) / line.get("batch", 1) / 1e6, line.get("minutes_per_epoch")
    )


def _paper_step(arm: str) -> Step | None:
    row = paper_tables()["table3"].get("prompt" if arm in ("prompt_r", "prompt_t") else arm)
    return Step(row["memory_mb"], row["minutes_per_epoch"]) if row else None


def _step_entries(step: Step, full: Step | None) -> list[Entry]:
    memory = delta(step.memory, full.memory) if full else None
    own = -delta(full.memory, step.memory) if full else None
    minutes = step.minutes
    time = delta(minutes, full.minutes) if full and full.minutes and minutes is not None else None
    return [
        number(step.memory, ",.2f"),
        number(memory, "+.2f"),
        number(own, "+.2f"),
        number(minutes, ",.2f"),
        number(time, "+.2f"),
    ]

"""Shares of full fine-tuning's gain over always giving the most frequent answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from compacter_cli.reports.cells import deviation, task_title, tested, title_of
from compacter_cli.reports.entries import score_text, seeds_text
from compacter_cli.reports.setting_tables import chosen_notes
from compacter_cli.reports.table import ABSENT, Column, Entry, Row, Table, words

if TYPE_CHECKING:
    from compacter_cli.reports.cells import Cell, Comparison
    from compacter_cli.sweeps.records import IndexLine
    from compacter_cli.sweeps.sections import Arm, Sweep


LEAST_GAIN = 1.0  # point: shares of next to nothing say nothing


def gain_table(comparison: Comparison) -> Table | None:
    """Shares of full fine-tuning's gain over the most frequent answer, by task and summed.

    `None` where the sweep has no full fine-tuning, or an axis.
    """
    sweep, full = comparison.sweep, comparison.full
    if full is None or sweep.axis:
        return None
    reference = comparison.row(full.name)
    if not any(cell.chosen for cell in reference):
        return None
    columns = (
        Column("method", words=True),
        Column("parameters"),
        *(Column(task_title(task, sweep.tasks)) for task in sweep.tasks),
        Column("summed"),
    )
    rows = tuple(_gain_row(arm, comparison.row(arm.name), reference) for arm in sweep.arms)
    return Table(
        "Shares of full fine-tuning's gain",
        columns,
        rows,
        (*_notes(sweep), *chosen_notes(comparison)),
    )


def _notes(sweep: Sweep) -> Iterator[str]:
    spread = " ± sample deviation over seeds" if len(sweep.seeds) > 1 else ""
    yield (
        f"mean of a task's test metrics{spread}; in brackets the share of full fine-tuning's gain "
        "over always giving the most frequent answer"
    )
    yield (
        "summed: the gains of all tasks over full fine-tuning's, where both have all tasks; no "
        f"share where full fine-tuning gains less than {LEAST_GAIN:g} point"
    )


def _gain_row(arm: Arm, cells: Sequence[Cell], reference: Sequence[Cell]) -> Row:
    pairs = [(_gain(cell), _gain(full)) for cell, full in zip(cells, reference, strict=True)]
    entries = [_gain_entry(cell, *pair) for cell, pair in zip(cells, pairs, strict=True)]
    return Row((words(title_of(arm)), _parameters(cells), *entries, _summed(pairs)), arm.name)


def _parameters(cells: Sequence[Cell]) -> Entry:
    counts = sorted(
        {cell.chosen.finished[0]["trained_parameters"] for cell in cells if cell.chosen}
    )
    if not counts:
        return ABSENT
    ends = list(dict.fromkeys((counts[0], counts[-1])))
    values = {"": ends[0]} if len(ends) == 1 else {"least": ends[0], "most": ends[1]}
    return Entry(" to ".join(f"{count:,}" for count in ends), values)


def _gain(cell: Cell) -> float | None:
    """How much more a cell scores than the most frequent answer, in points."""
    if cell.chosen is None:
        return None
    known = [line for line in cell.chosen.finished if line.get("majority")]
    return fmean(map(_gain_of_run, known)) if known else None


def _gain_of_run(line: IndexLine) -> float:
    return fmean(tested(line).values()) - fmean(line.get("majority", {}).values())


def _gain_entry(cell: Cell, gain: float | None, full: float | None) -> Entry:
    if cell.chosen is None or gain is None:
        return Entry(cell.state)
    scores = cell.chosen.mean_scores()
    share = gain / full if full is not None and full >= LEAST_GAIN else None
    shown = "-" if share is None else f"{100 * share:z.0f} %"
    values = {"": fmean(scores), "sd": deviation(scores), "n": len(scores), "share": share}
    return Entry(f"{score_text([scores], 1)} ({shown}){seeds_text(cell)}", values)


def _summed(pairs: Sequence[tuple[float | None, float | None]]) -> Entry:
    both = [(gain, full) for gain, full in pairs if gain is not None and full is not None]
    whole = sum(full for _, full in both)
    if len(both) < len(pairs) or whole < LEAST_GAIN:
        return ABSENT
    share = sum(gain for gain, _ in both) / whole
    return Entry(f"{100 * share:z.0f} %", {"": share})

"""What a sweep tried: by a key's values, every setting, what was chosen, what came to nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from compacter_cli.reports.cells import Cell, average, task_title, tested, title_of
from compacter_cli.reports.entries import (
    head_columns,
    head_entries,
    score_entry,
    score_text,
    setting_entry,
    setting_text,
    short_key,
)
from compacter_cli.reports.table import (
    ABSENT,
    Column,
    Entry,
    Row,
    Table,
    formatted,
    number,
    words,
)

if TYPE_CHECKING:
    from compacter_cli.reports.cells import Comparison, Tried
    from compacter_cli.sweeps.records import IndexLine
    from compacter_cli.sweeps.sections import Arm


RATE = "train.learning_rate"


def searched_keys(comparison: Comparison) -> list[str]:
    """The keys that some arm searches, dotted, those of all arms first."""
    sweep = comparison.sweep
    return list(dict.fromkeys([*sweep.search, *(key for arm in sweep.arms for key in arm.search)]))


def key_table(comparison: Comparison, key: str) -> Table:
    """The test scores at every value of a searched key; its other keys are chosen on validation."""
    sweep = comparison.sweep
    columns = (
        *head_columns(sweep),
        Column(short_key(key), words=True),
        *(Column(task_title(task, sweep.tasks)) for task in sweep.tasks),
        Column("avg"),
    )
    rows = tuple(
        row for arm, axis in comparison.rows() for row in _key_rows(comparison, arm, axis, key)
    )
    others = len(searched_keys(comparison)) > 1
    chosen = "; other keys of the search are chosen on validation at each value" if others else ""
    head = len(head_columns(sweep)) + 1
    title, best = f"By {short_key(key)}", "the value that is chosen"
    return Table(title, columns, rows, (f"test scores{chosen}",), head, best)


def _key_rows(comparison: Comparison, arm: Arm, axis: Any, key: str) -> Iterator[Row]:
    sweep, cells = comparison.sweep, comparison.row(arm.name, axis)
    found = (one.setting[key] for cell in cells for one in cell.tried if key in one.setting)
    for value in {str(value): value for value in found}.values():
        parts = [_part(cell, key, value) for cell in cells]
        entries = [_part_entry(cell, part) for cell, part in zip(cells, parts, strict=True)]
        yield Row(
            (
                *head_entries(sweep, arm, axis),
                setting_entry(value),
                *entries,
                _plain_average(parts),
            ),
            f"{arm.name} {axis}",
        )


def _part(cell: Cell, key: str, value: Any) -> Cell:
    """The cell as if only one value of a searched key had been tried."""
    tried = tuple(one for one in cell.tried if one.setting.get(key) == value)
    return replace(cell, tried=tried)


def _part_entry(cell: Cell, part: Cell) -> Entry:
    entry = score_entry(part)
    chosen = part.chosen is not None and cell.chosen == part.chosen
    return Entry(entry.text, entry.values, chosen, entry.note)


def _plain_average(cells: Sequence[Cell]) -> Entry:
    found = average(cells)
    whole = found is not None and len(found.over) == len(cells)
    return number(found.mean) if found and whole else ABSENT


def settings_table(comparison: Comparison) -> Table:
    """Every setting that was tried, with its scores on validation and test."""
    sweep, keys = comparison.sweep, searched_keys(comparison)
    columns = (
        Column("task", words=True),
        *head_columns(sweep),
        *(Column(short_key(key), words=True) for key in keys),
        Column("validation"),
        Column("test"),
        Column("finished"),
    )
    rows = tuple(
        _setting_row(comparison, cell, one, keys)
        for cell in comparison.cells.values()
        for one in cell.tried
    )
    head = 1 + len(head_columns(sweep)) + len(keys)
    best = "chosen, by the validation score alone"
    return Table("All settings", columns, rows, ("means of a task's metrics",), head, best)


def _setting_row(comparison: Comparison, cell: Cell, one: Tried, keys: Sequence[str]) -> Row:
    chosen = one is cell.chosen
    finished, planned = len(one.finished), len(one.lines)
    states = ", ".join(dict.fromkeys(line["state"] for line in one.lines))
    text = f"{finished} of {planned}" if finished else states
    return Row(
        (
            words(task_title(cell.task, comparison.sweep.tasks)),
            *head_entries(comparison.sweep, cell.arm, cell.axis),
            *(_value_entry(one, key) for key in keys),
            _means_entry([line.get("validation_mean", 0.0) for line in one.finished], chosen),
            _means_entry(one.mean_scores(), chosen),
            Entry(text, {"": finished, "planned": planned}),
        ),
        f"{cell.task} {cell.arm.name} {cell.axis}",
    )


def _value_entry(one: Tried, key: str) -> Entry:
    return setting_entry(one.setting[key]) if key in one.setting else ABSENT


def _means_entry(values: Sequence[float], best: bool = False) -> Entry:
    if not values:
        return ABSENT
    return Entry(score_text([values]), {"": fmean(values), "n": len(values)}, best)


def choice_table(comparison: Comparison) -> Table:
    """The setting that a cell reports which had a choice, and what it was out of."""
    sweep, keys = comparison.sweep, searched_keys(comparison)
    columns = (
        Column("task", words=True),
        *head_columns(sweep),
        *(Column(short_key(key), words=True) for key in keys),
        *([] if RATE in keys else [Column("rate")]),
        Column("validation"),
        Column("test"),
        Column("out of", words=True),
    )
    cells = [cell for cell in comparison.cells.values() if len(cell.tried) > 1]
    rows = tuple(_choice_row(comparison, cell, keys) for cell in cells)
    notes = (
        "chosen by the mean validation score over the finished seeds, of equal ones the first of "
        "the grid; out of: settings that had a finished seed, of those that were planned",
    )
    return Table("Chosen settings", columns, rows, notes, 1 + len(head_columns(sweep)))


def _choice_row(comparison: Comparison, cell: Cell, keys: Sequence[str]) -> Row:
    chosen, tried = cell.chosen, cell.tried
    counts = {"": len([one for one in tried if one.finished]), "planned": len(tried)}
    return Row(
        (
            words(task_title(cell.task, comparison.sweep.tasks)),
            *head_entries(comparison.sweep, cell.arm, cell.axis),
            *(_value_entry(chosen, key) if chosen else ABSENT for key in keys),
            *([] if RATE in keys else [_rate_entry(chosen)]),
            number(chosen.validation) if chosen else ABSENT,
            number(fmean(chosen.mean_scores())) if chosen else Entry(cell.state),
            Entry(cell.out_of, counts),
        ),
        f"{cell.task} {cell.arm.name} {cell.axis}",
    )


def _rate_entry(chosen: Tried | None) -> Entry:
    return setting_entry(chosen.finished[0]["learning_rate"]) if chosen else ABSENT


def unfinished_table(comparison: Comparison) -> Table | None:
    """Every run without a result: what became of it, and why; `None` where all are finished."""
    lines = [line for line in comparison.lines() if line["state"] != "finished"]
    if not lines:
        return None
    columns = [
        Column(title, words=True)
        for title in ("task", "arm", "setting", "seed", "state", "why", "run")
    ]
    rows = tuple(_unfinished_row(comparison, line) for line in lines)
    return Table("Runs without a result", tuple(columns), rows, (), 2)


def _unfinished_row(comparison: Comparison, line: IndexLine) -> Row:
    setting = dict(line["setting"])
    if comparison.sweep.axis:
        setting[comparison.sweep.axis.key] = line["axis"]
    return Row(
        (
            words(line["task"]),
            words(line["arm"]),
            Entry(setting_words(setting), {"": setting}),
            Entry(str(line["seed"]), {"": line["seed"]}),
            words(line["state"]),
            words(line.get("error", "")),
            words(line["run"]),
        ),
        line["run"],
    )


def setting_words(setting: dict[str, Any]) -> str:
    """A setting in a few words: "bottleneck 48, n 4"."""
    return ", ".join(f"{short_key(key)} {setting_text(value)}" for key, value in setting.items())


def chosen_notes(comparison: Comparison) -> list[str]:
    """Which setting each method's row is of, in a sentence; none where nothing was to choose.

    With an axis the choices are too many for one.
    """
    found: list[str] = []
    for arm in () if comparison.sweep.axis else comparison.sweep.arms:
        cells = [cell for cell in comparison.row(arm.name) if len(cell.tried) > 1]
        if chosen := [setting_words(cell.chosen.setting) for cell in cells if cell.chosen]:
            setting = chosen[0] if len(set(chosen)) == 1 else "another by task"
            found.append(f"{title_of(arm)} {setting}")
    return [f"chosen: {'; '.join(found)}"] if found else []


def runs_table(comparison: Comparison) -> Table:
    """Every finished run: what it was, what it took, and its scores."""
    columns = (
        *(Column(title, words=True) for title in ("task", "arm", "setting")),
        *(Column(title) for title in ("seed", "rate", "validation", "test", "seconds", "MB")),
        Column("run", words=True),
    )
    rows = tuple(_run_row(comparison, line) for line in comparison.lines() if tested(line))
    return Table("Finished runs", columns, rows, (), 3)


def _run_row(comparison: Comparison, line: IndexLine) -> Row:
    axis = {comparison.sweep.axis.key: line["axis"]} if comparison.sweep.axis else {}
    setting = {**line["setting"], **axis}
    peak = line.get("peak_memory_bytes")
    return Row(
        (
            words(line["task"]),
            words(line["arm"]),
            Entry(setting_words(setting), {"": setting}),
            Entry(str(line["seed"]), {"": line["seed"]}),
            setting_entry(line["learning_rate"]),
            number(line.get("validation_mean")),
            Entry(
                formatted(fmean(tested(line).values())),
                {"": fmean(tested(line).values()), **tested(line)},
            ),
            number(line.get("training_seconds"), ",.0f"),
            number(None if peak is None else peak / 1e6, ",.0f"),
            words(line["run"]),
        ),
        line["run"],
    )

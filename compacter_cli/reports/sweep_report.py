"""A sweep as a report: the paper's tables and figures, what was chosen, what failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.errors import counted
from compacter_cli.files import read_json
from compacter_cli.reports.cells import comparison_of
from compacter_cli.reports.checked import checked_index
from compacter_cli.reports.cost_tables import cost_table, profile_table
from compacter_cli.reports.entries import setting_text, short_key
from compacter_cli.reports.gain_table import gain_table
from compacter_cli.reports.report import Picture, Report
from compacter_cli.reports.score_tables import score_table
from compacter_cli.reports.setting_tables import (
    choice_table,
    key_table,
    runs_table,
    searched_keys,
    settings_table,
    unfinished_table,
)
from compacter_cli.reports.table import Column, Entry, Row, Table, words
from compacter_cli.sweeps.estimates import PAPER_BACKBONE
from compacter_cli.training.environment import ENVIRONMENT

if TYPE_CHECKING:
    from compacter_cli.reports.cells import Comparison
    from compacter_cli.sweeps.records import IndexLine
    from compacter_cli.sweeps.sections import Sweep


def report_of_sweep(sweep: Sweep, lines: list[IndexLine], directory: Path | None = None) -> Report:
    """The report of a sweep; its environment is read from the runs below `directory`."""
    sound, damaged = checked_index(lines)
    comparison = comparison_of(sweep, sound)
    tables = dict(_tables(comparison))
    shown = [name for name in tables if name not in ("settings", "runs")]
    if environment := _environment_table(comparison, directory):
        tables["environment"] = environment
    return Report(
        title=sweep.title,
        lines=tuple(_heading(comparison)),
        tables=tables,
        shown=tuple(shown),
        figures=_figures(comparison),
        problems=(f"{counted(damaged, 'damaged line')} of the index left out",) if damaged else (),
    )


def _tables(comparison: Comparison) -> Iterator[tuple[str, Table]]:
    """The tables of a sweep by name, the main one first."""
    if comparison.sweep.measure:
        yield "cost", profile_table(comparison)
    else:
        yield from _training_tables(comparison)
    if table := unfinished_table(comparison):
        yield "unfinished", table


def _training_tables(comparison: Comparison) -> Iterator[tuple[str, Table]]:
    yield "scores", score_table(comparison)
    if table := gain_table(comparison):
        yield "gains", table
    for key in (keys := searched_keys(comparison)):
        yield f"by_{short_key(key)}", key_table(comparison, key)
    if any(len(cell.tried) > 1 for cell in comparison.cells.values()):
        yield "chosen", choice_table(comparison)
    yield "cost", cost_table(comparison)
    if keys:
        yield "settings", settings_table(comparison)
    yield "runs", runs_table(comparison)


def _figures(comparison: Comparison) -> dict[str, Picture]:
    """What draws the figures; none where the sweep trains nothing."""
    from compacter_cli.reports.scatter import time_figure, trained_figure
    from compacter_cli.reports.size_figure import size_figure

    if comparison.sweep.measure:
        return {}
    if comparison.sweep.axis:
        title = f"Figure 4: test scores by {short_key(comparison.sweep.axis.key)}"
        return {"figure4": Picture(title, lambda: size_figure(comparison))}
    trained = "Figure 1: average score against trained parameters"
    return {
        "figure1": Picture(trained, lambda: trained_figure(comparison)),
        "time": Picture("Average score against time", lambda: time_figure(comparison)),
    }


def _heading(comparison: Comparison) -> Iterator[str]:
    """What the numbers are of: how many runs, on which backbones, with what set for all of them."""
    sweep = comparison.sweep
    yield _counted(comparison)
    sizes = {line["preset"]: line["backbone_parameters"] for line in comparison.lines()}
    if sizes:
        named = ", ".join(f"{preset} ({size:,} parameters)" for preset, size in sizes.items())
        other = sweep.paper and PAPER_BACKBONE not in sizes
        yield f"on {named}" + ("; the paper's numbers are of T5-base" if other else "")
    if sweep.set:
        values = (f"{key} = {setting_text(value)}" for key, value in sweep.set.items())
        yield f"for all: {', '.join(values)}"


def _counted(comparison: Comparison) -> str:
    """How many runs there are, and what became of them."""
    sweep = comparison.sweep
    states = Counter(line["state"] for line in comparison.lines())
    sides = {"arm": sweep.arms, "task": sweep.tasks, "seed": sweep.seeds}
    of = [counted(len(found), name) for name, found in sides.items()]
    settings = {len(cell.tried) for cell in comparison.cells.values()}
    tried = [f"{_range(settings)} settings"] if max(settings, default=0) > 1 else []
    axis = [f"{counted(len(sweep.axis.values), 'value')} of {sweep.axis.key}"] if sweep.axis else []
    counts = ", ".join(f"{count:,} {state}" for state, count in states.items()) or "none begun"
    return f"{' x '.join((*of, *axis, *tried))}: {counted(states.total(), 'run')}, {counts}"


def _range(counts: set[int]) -> str:
    ends = dict.fromkeys((min(counts), max(counts)))
    return " to ".join(f"{end:,}" for end in ends)


def _environment_table(comparison: Comparison, directory: Path | None) -> Table | None:
    """The machines and versions that the runs were made with, and how many runs with each."""
    if directory is None:
        return None
    found = Counter(_environment(directory / line["run"]) for line in comparison.lines())
    found.pop((), None)
    if not found:
        return None
    names = ("compacter", "python", "torch", "keras", "keras-hub", "device", "threads", "platform")
    columns = (*(Column(name, words=True) for name in names), Column("runs"))
    rows = (
        Row((*map(words, values), Entry(f"{count:,}", {"": count})))
        for values, count in found.most_common()
    )
    return Table("Environment", columns, tuple(rows), (), len(names))


def _environment(run: Path) -> tuple[str, ...]:
    """What of a run's environment.json the table shows; nothing where it cannot be read."""
    try:
        found = read_json(run / ENVIRONMENT)
        packages = found["packages"]
        versions = (packages.get(name) for name in ("torch", "keras", "keras-hub"))
        machine = (found["device_name"], found["threads"], found["platform"])
        return tuple(map(str, (found["compacter"], found["python"], *versions, *machine)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ()

"""What `compacter sweep` says before and after: its plan, and what became of its runs."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.commands.console import out, show_note, table_of
from compacter_cli.errors import counted
from compacter_cli.files import size_text
from compacter_cli.sweeps.directory import lines_of
from compacter_cli.sweeps.estimates import Estimate, estimate
from compacter_cli.sweeps.expansion import setting_words, value_text
from compacter_cli.sweeps.failures import log_of
from compacter_cli.sweeps.index import count_states
from compacter_cli.sweeps.records import IndexLine, State
from compacter_cli.training.words import time_words

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from compacter_cli.profiling.steps import StepCost
    from compacter_cli.sweeps.expansion import Expansion, LeftOut, PlannedRun
    from compacter_cli.sweeps.running import SweepRun
    from compacter_cli.sweeps.sections import Sweep

MOST_SHOWN = 20  # runs of a list; the index has them all


class ArmPlan(TypedDict):
    """What an arm of a sweep comes to: see `Estimate`."""

    arm: str
    runs: int
    updates: int | None
    seconds: float | None
    peak_bytes: int | None
    paper_seconds: float | None


class SweepDone(TypedDict):
    """What became of a sweep's runs: how many are in which state, and those that failed."""

    name: str
    directory: str
    states: dict[State, int]
    failed: list[IndexLine]


class SweepPlan(TypedDict):
    """A sweep before it is run; estimates are `None` where nothing was measured."""

    name: str
    title: str
    directory: str
    workers: int
    device: str | None
    measures: bool
    arms: list[ArmPlan]
    total: ArmPlan
    states: dict[State, int]
    left_out: list[str]
    runs: list[IndexLine]


def plan_data(
    sweep: Sweep,
    expansion: Expansion,
    directory: Path,
    workers: int,
    costs: dict[str, StepCost | None],
) -> SweepPlan:
    """A sweep's plan as plain data."""
    lines = lines_of(directory, sweep, expansion.runs)
    return {
        "name": sweep.name,
        "title": sweep.title,
        "directory": str(directory),
        "workers": workers,
        "device": next((cost["device_name"] for cost in costs.values() if cost), None),
        "measures": sweep.measure is not None,
        "arms": [
            _arm_plan(sweep, arm.name, _of_arm(expansion.runs, arm.name), costs)
            for arm in sweep.arms
        ],
        "total": _arm_plan(sweep, "all", expansion.runs, costs),
        "states": dict(count_states(lines)),
        "left_out": [left_out_words(item) for item in expansion.left_out],
        "runs": lines,
    }


def _of_arm(runs: Iterable[PlannedRun], name: str) -> list[PlannedRun]:
    return [run for run in runs if run.arm.name == name]


def _arm_plan(
    sweep: Sweep, name: str, runs: list[PlannedRun], costs: dict[str, StepCost | None]
) -> ArmPlan:
    found = estimate(runs, costs)
    if sweep.measure:  # nothing is trained to its end
        found = Estimate(found.runs, None, None, None, None)
    return {
        "arm": name,
        "runs": found.runs,
        "updates": found.updates,
        "seconds": found.seconds,
        "peak_bytes": found.peak_bytes,
        "paper_seconds": found.paper_seconds,
    }


def left_out_words(item: LeftOut) -> str:
    """What is left out of a sweep, and why."""
    return f"{item.arm} without {setting_words(item.setting)}: {item.reason}"


def run_words(line: IndexLine) -> str:
    """A run in a few words: task, arm, setting, seed."""
    axis = "" if line["axis"] is None else f" at {value_text(line['axis'])}"
    parts = (line["task"], f"{line['arm']}{axis}", setting_words(line["setting"]))
    return " ".join(filter(None, (*parts, f"seed {line['seed']}")))


def show_plan(plan: SweepPlan) -> None:
    """Print a sweep's plan: its arms, what they take, and its runs."""
    out.say(plan["title"], "bold")
    out.print(_plan_table(plan))
    out.print()
    for line in plan_lines(plan):
        out.say(line)
    out.print()
    for line in plan["runs"][:MOST_SHOWN]:
        out.say(f"  {line['state']:10} {run_words(line)}")
    if (more := len(plan["runs"]) - MOST_SHOWN) > 0:
        out.say(f"  and {more} more (--json lists all)")


def _plan_table(plan: SweepPlan) -> Any:
    total = plan["total"]
    columns = ["arm", "runs", "updates"]
    columns += ["time here", "memory"] if plan["device"] else []
    columns += ["time, paper's GPU"] if total["paper_seconds"] is not None else []
    table = table_of(*columns, numbers=columns[1:])
    for row in (*plan["arms"], total):
        cells = [row["arm"], f"{row['runs']:,}", _count(row["updates"])]
        if plan["device"]:
            cells += [time_words(row["seconds"]), _size(row["peak_bytes"])]
        if total["paper_seconds"] is not None:
            cells += [time_words(row["paper_seconds"])]
        table.add_row(*cells, style="bold" if row is total else "")
    return table


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _size(value: int | None) -> str:
    return "-" if value is None else size_text(value)


def plan_lines(plan: SweepPlan) -> list[str]:
    """What a plan comes to, in sentences."""
    states = ", ".join(f"{count:,} {state}" for state, count in plan["states"].items())
    lines = [f"{counted(plan['total']['runs'], 'run')} ({states}) in {plan['directory']}"]
    if plan["measures"]:
        lines.append("training steps of each are measured, none is trained to its end")
    elif plan["device"]:
        lines.append(
            f"time here: training steps on {plan['device']}, one run after the other, with texts "
            "as long as the recipes let them be; starting each run, scoring and testing come on top"
        )
        lines.append(
            "memory: weights and what a step takes beyond them, without the frameworks' own, which "
            "is some 500 MB of a process"
        )
        seconds = plan["total"]["seconds"]
        if plan["workers"] > 1 and seconds is not None:
            lines.append(
                f"with {plan['workers']} workers about {time_words(seconds / plan['workers'])}"
            )
    if plan["total"]["paper_seconds"] is not None:
        lines.append(
            "time, paper's GPU: by the paper's minutes for an epoch of MNLI (Table 3; 24 GB, the "
            "largest batch), by rows and epochs"
        )
    return lines + [f"left out: {item}" for item in plan["left_out"]]


def as_data(done: SweepRun) -> SweepDone:
    """What became of a sweep's runs, as plain data."""
    lines = done.lines
    return {
        "name": done.sweep.name,
        "directory": str(done.directory),
        "states": dict(count_states(lines)),
        "failed": [line for line in lines if line["state"] == "failed"],
    }


def show_sweep(done: SweepRun) -> None:
    """Print what became of a sweep's runs, failures with their reasons, and what to do next."""
    lines = done.lines
    states = ", ".join(f"{count:,} {state}" for state, count in count_states(lines).items())
    out.say(f"{done.sweep.title}: {states}")
    failed = [line for line in lines if line["state"] == "failed"]
    for line in failed[:MOST_SHOWN]:
        show_note(f"{run_words(line)} failed: {line.get('error', '')}")
        show_note(f"  its log: {log_of(done.directory, line['run'])}")
    if len(failed) > MOST_SHOWN:
        show_note(f"and {len(failed) - MOST_SHOWN} more failed: compacter report lists them")
    out.say(f"\nnext: compacter report {shlex.quote(str(done.directory))}")

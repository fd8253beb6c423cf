"""Sweeps that measure: what a training step of a run's recipe takes, kept as `cost.json`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.files import make_directory, read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.profiling.rows import Costs, Machine
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.sweeps.sections import Measuring

COST = "cost.json"


def measure(
    recipe: Recipe, how: Measuring, directory: Path, device: str | None, threads: int | None
) -> None:
    """Measure a recipe's training steps into a run's directory.

    Raises:
        CompacterError: it cannot be measured.
    """
    from compacter_cli.profiling.children import run_probe
    from compacter_cli.profiling.comparison import row_of
    from compacter_cli.profiling.job import Job, Probe
    from compacter_cli.profiling.limits import check_budget, parse_size

    machine = run_probe(Probe(device, threads))
    if "failed" in machine:
        raise CompacterError(machine["failed"], machine.get("hint"))
    budget = parse_size(how.memory_budget) if how.memory_budget else None
    if budget:
        check_budget(budget, machine["free_bytes"], machine["device_name"])
    job = Job(
        recipe={},
        target=how.target,
        steps=how.steps,
        device=machine["device"],
        threads=threads,
        vocabulary=_vocabulary(recipe),
        budget=budget,
    )
    row = row_of(recipe, job)
    if "failed" in row:
        raise CompacterError(row["failed"])
    make_directory(directory)
    write_json(directory / COST, _record(recipe, row, machine))


def _vocabulary(recipe: Recipe) -> str | None:
    """Where the vocabulary for the task's lengths is, where that and its rows are on this disk."""
    from compacter_cli.profiling.comparison import vocabulary_for_task

    try:
        return vocabulary_for_task(recipe, None)
    except MissingResourceError:
        return None


def _record(recipe: Recipe, costs: Costs, machine: Machine) -> dict[str, Any]:
    epoch = costs["epoch"]
    seconds = epoch["seconds"] if epoch else _full_length_seconds(recipe, costs)
    return {
        "batch": costs["batch"],
        "step_ms": costs["step_ms"]["median"],
        "peak_memory_bytes": costs["peak_bytes"],
        "minutes_per_epoch": seconds / 60,
        "real_lengths": epoch is not None,
        "device": machine["device"],
        "device_name": machine["device_name"],
        "threads": machine["threads"],
    }


def _full_length_seconds(recipe: Recipe, costs: Costs) -> float:
    """Seconds of an epoch whose texts are all as long as the recipe lets them be."""
    from compacter_cli.data.sources import split_sizes
    from compacter_cli.tasks import task_of

    rows = split_sizes(task_of(recipe), recipe.data)["train"]
    return math.ceil(rows / costs["batch"]) * costs["step_ms"]["median"] / 1_000


def read_cost(directory: Path) -> dict[str, Any]:
    """What a line of the index holds of a measured run.

    Raises:
        CompacterError: it is damaged.
    """
    path = directory / COST
    try:
        found = read_json(path)
        return {
            "batch": int(found["batch"]),
            "step_ms": float(found["step_ms"]),
            "peak_memory_bytes": int(found["peak_memory_bytes"]),
            "minutes_per_epoch": float(found["minutes_per_epoch"]),
        }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CompacterError(f"{path} is damaged: {error}", "remove it to measure again") from error

"""What a sweep will take: its updates, times what a step of each method takes on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from compacter_cli.data.at_hand import lengths_at_hand
from compacter_cli.paper.tables import paper_tables
from compacter_cli.profiling.forecast import measured_part, of_the_batch
from compacter_cli.profiling.steps import (
    StepCost,
    kept_cost,
    key_of,
    machine_of,
    measured_cost,
)
from compacter_cli.sweeps.index import rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.sweeps.expansion import PlannedRun

Number = TypeVar("Number", int, float)
MNLI_ROWS = 392_702  # of the epoch that the paper's Table 3 times
PAPER_BACKBONE = "t5_base_multi"


class Estimate(NamedTuple):
    """What runs of an arm take together; `None` is not known.

    Attributes:
        runs, updates: how many there are.
        seconds: of their training steps on this machine.
        peak_bytes: the most that one of them takes.
        paper_seconds: of their training on the paper's GPU, by its Table 3.
    """

    runs: int
    updates: int | None
    seconds: float | None
    peak_bytes: int | None
    paper_seconds: float | None


def updates_of(recipe: Recipe) -> int | None:
    """Optimizer steps of a recipe's whole run; `None` where the data alone can tell."""
    rows = rows_of(recipe)
    return None if rows is None else recipe.train.updates_per_epoch(rows) * recipe.train.epochs


def estimate(runs: Iterable[PlannedRun], costs: dict[str, StepCost | None]) -> Estimate:
    """What `runs` take together by the `costs` of `step_costs`."""
    recipes = [run.recipe for run in runs]
    updates = [updates_of(recipe) for recipe in recipes]
    measured = [costs.get(kind_of(recipe)) for recipe in recipes]
    seconds = [
        None if cost is None or count is None else count * cost["step_ms"] / 1_000
        for cost, count in zip(measured, updates, strict=True)
    ]
    peaks = [cost["peak_bytes"] for cost in measured if cost]
    return Estimate(
        len(recipes),
        _sum(updates),
        _sum(seconds),
        max(peaks, default=None),
        _sum([paper_seconds(recipe) for recipe in recipes]),
    )


def kind_of(recipe: Recipe) -> str:
    """What runs whose steps cost the same have in common: their rows, too, whose lengths count."""
    return f"{key_of(recipe)} {_rows_key(recipe)}"


def _rows_key(recipe: Recipe) -> str:
    plain = recipe.plain()
    return json.dumps([plain["task"], plain["data"], plain["backbone"]["preset"]])


def _sum(values: list[Number | None]) -> Number | None:
    """The sum, or `None` where one is not known."""
    total: Number | None = None
    for value in values:
        if value is None:
            return None
        total = value if total is None else total + value
    return total


def paper_seconds(recipe: Recipe) -> float | None:
    """Seconds that a run takes on the paper's GPU of 24 GB, by its minutes for an epoch of MNLI.

    `None` for other backbones than T5-base, and methods that it does not time.
    """
    name = "prompt" if recipe.method.name.startswith("prompt") else recipe.method.name
    row, rows = paper_tables()["table3"].get(name), rows_of(recipe)
    if recipe.backbone.preset != PAPER_BACKBONE or row is None or rows is None:
        return None
    return 60 * row["minutes_per_epoch"] * rows / MNLI_ROWS * recipe.train.epochs


def step_costs(
    runs: Iterable[PlannedRun],
    device: str | None,
    threads: int | None,
    say: Callable[[str], None],
) -> dict[str, StepCost | None]:
    """What a step of each kind of run takes, measured once on this machine and kept.

    As `train --dry-run` does, on a part of the batch and at the rows' own lengths where these are
    here. Methods are measured at the first of their settings; the bottleneck and n change little.

    Args:
        runs: of which each kind is measured.
        device: torch device name.
        threads: CPU threads of a run.
        say: called with a line before each that is not known yet.

    Returns:
        By `kind_of`; `None` where it could not be measured, such as for want of memory.

    Raises:
        CompacterError: the device is not there.
    """
    kinds = {kind_of(run.recipe): run.recipe for run in runs}
    machine = machine_of(device, threads)
    of_rows = {_rows_key(recipe): recipe for recipe in kinds.values()}
    lengths = {key: lengths_at_hand(recipe) for key, recipe in of_rows.items()}
    found: dict[str, StepCost | None] = {}
    for number, (kind, recipe) in enumerate(kinds.items(), start=1):
        part, target = measured_part(recipe, lengths[_rows_key(recipe)], machine)
        cost = kept_cost(part, machine, target)
        if cost is None:
            say(f"measuring a step of {recipe.method.name} ({number} of {len(kinds)}) ...")
            cost = measured_cost(part, machine, threads, target)
        found[kind] = None if cost is None else of_the_batch(cost, recipe, part)
    return found

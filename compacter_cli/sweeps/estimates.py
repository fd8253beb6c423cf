"""What a sweep will take: its updates, times what a step of each method takes on this machine."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, TypedDict, TypeVar

from compacter_cli.errors import CompacterError
from compacter_cli.files import cache_directory, make_directory, read_json, write_json
from compacter_cli.paper.tables import paper_tables
from compacter_cli.sweeps.directory import rows_of
from compacter_cli.t5.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.sweeps.expansion import PlannedRun

Number = TypeVar("Number", int, float)
STEPS = 2  # timed of each method: an estimate needs no more
TARGET = 4  # tokens of a target, about a label's
MNLI_ROWS = 392_702  # of the epoch that the paper's Table 3 times
PAPER_BACKBONE = "t5_base_multi"


class StepCost(TypedDict):
    """What one update takes, at the recipe's longest texts: milliseconds, and bytes at its peak."""

    step_ms: float
    peak_bytes: int
    device_name: str


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
    measured = [costs.get(key_of(recipe)) for recipe in recipes]
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


def key_of(recipe: Recipe) -> str:
    """What steps of equal cost have in common: method, backbone, batch, lengths, precision."""
    train, shape = recipe.train, shape_of(recipe.backbone.preset)
    parts = {
        "method": recipe.method.name,
        "shape": repr(shape),
        "precision": recipe.backbone.precision,
        "batch": [train.batch_size, train.accumulate, recipe.data.source_length],
        "how": [train.execution, train.remat, train.dropout > 0],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def step_costs(
    runs: Iterable[PlannedRun],
    device: str | None,
    threads: int | None,
    say: Callable[[str], None],
) -> dict[str, StepCost | None]:
    """What a step of each kind of run takes, measured once on this machine and kept.

    Methods are measured at the first of their settings; the bottleneck and n change little.

    Args:
        runs: of which each kind is measured.
        device: torch device name.
        threads: CPU threads of a run.
        say: called with a line before each that is not known yet.

    Returns:
        By `key_of`; `None` where it could not be measured, such as for want of memory.

    Raises:
        CompacterError: the device is not there.
    """
    from compacter_cli.profiling.children import run_probe
    from compacter_cli.profiling.job import Probe

    kinds = {key_of(run.recipe): run.recipe for run in runs}
    machine = run_probe(Probe(device, threads))
    if "failed" in machine:
        raise CompacterError(machine["failed"], machine.get("hint"))
    kept = _kept(f"{machine['device_name']}, {machine['threads']}, {machine['torch']}")
    found: dict[str, StepCost | None] = {}
    for number, (key, recipe) in enumerate(kinds.items(), start=1):
        found[key] = _read(kept / f"{key}.json")
        if found[key] is None:
            say(f"measuring a step of {recipe.method.name} ({number} of {len(kinds)}) ...")
            found[key] = _measured(recipe, machine["device"], machine["device_name"], threads)
            _write(kept / f"{key}.json", found[key])
    return found


def _measured(
    recipe: Recipe, device: str, device_name: str, threads: int | None
) -> StepCost | None:
    from compacter_cli.profiling.comparison import row_of
    from compacter_cli.profiling.job import Job

    job = Job(recipe={}, target=TARGET, steps=STEPS, device=device, threads=threads)
    row = row_of(recipe, job)
    if "failed" in row:
        return None
    return {
        "step_ms": row["step_ms"]["median"],
        "peak_bytes": row["peak_bytes"],
        "device_name": device_name,
    }


def _kept(machine: str) -> Path:
    return cache_directory() / "steps" / hashlib.sha256(machine.encode()).hexdigest()[:16]


def _read(path: Path) -> StepCost | None:
    try:
        found = read_json(path)
        return {
            "step_ms": float(found["step_ms"]),
            "peak_bytes": int(found["peak_bytes"]),
            "device_name": str(found["device_name"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, cost: StepCost | None) -> None:
    with suppress(OSError, CompacterError):  # kept or not, it is known now
        if cost is not None:
            make_directory(path.parent)
            write_json(path, cost)

"""What an update of a recipe takes on this machine: a few steps measured once, and kept."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from typing import TYPE_CHECKING, TypedDict

from compacter_cli.errors import CompacterError
from compacter_cli.files import cache_directory, make_directory, read_json, write_json
from compacter_cli.profiling.children import run_probe
from compacter_cli.profiling.comparison import row_of
from compacter_cli.profiling.job import Job, Probe
from compacter_cli.t5.shapes import shape_of

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.profiling.rows import Machine
    from compacter_cli.recipe.recipe import Recipe

STEPS = 2  # timed of each kind: an estimate needs no more
TARGET = 4  # tokens of a target, about a label's


class StepCost(TypedDict):
    """What one update takes, every source at the recipe's longest, on random weights.

    `weight_bytes` are those of the weights, `peak_bytes` what there is at its peak, both beside
    what the frameworks take, which is `frameworks_bytes` on a CPU.
    """

    step_ms: float
    frameworks_bytes: int
    weight_bytes: int
    peak_bytes: int
    device_name: str


def machine_of(device: str | None, threads: int | None) -> Machine:
    """What is measured on.

    Raises:
        CompacterError: the device is not there.
    """
    machine = run_probe(Probe(device, threads))
    if "failed" in machine:
        raise CompacterError(machine["failed"], machine.get("hint"))
    return machine


def key_of(recipe: Recipe, target: int = TARGET) -> str:
    """What steps of equal cost have in common: method, backbone, batch, lengths, precision."""
    train, shape = recipe.train, shape_of(recipe.backbone.preset)
    parts = {
        "method": recipe.method.name,
        "shape": repr(shape),
        "precision": recipe.backbone.precision,
        "batch": [train.batch_size, train.accumulate, recipe.data.source_length, target],
        "answers": train.eval_batch_size,
        "how": [train.execution, train.remat, train.dropout > 0],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def kept_cost(recipe: Recipe, machine: Machine, target: int = TARGET) -> StepCost | None:
    """What was measured of such a step on this machine before, or `None`."""
    return _read(_place(recipe, machine, target))


def measured_cost(
    recipe: Recipe, machine: Machine, threads: int | None, target: int = TARGET
) -> StepCost | None:
    """What a step takes, measured now in a process of its own and kept.

    Returns:
        `None` where it could not be measured, such as for want of memory.
    """
    job = Job(
        recipe={},
        target=target,
        steps=STEPS,
        device=machine["device"],
        threads=threads,
        answers=recipe.train.eval_batch_size,
    )
    row = row_of(recipe, job)
    if "failed" in row:
        return None
    cost: StepCost = {
        "step_ms": row["step_ms"]["median"],
        "frameworks_bytes": row["frameworks_bytes"],
        "weight_bytes": row["weight_bytes"],
        "peak_bytes": row["peak_bytes"],
        "device_name": machine["device_name"],
    }
    _write(_place(recipe, machine, target), cost)
    return cost


def _place(recipe: Recipe, machine: Machine, target: int) -> Path:
    name = f"{machine['device_name']}, {machine['threads']}, {machine['torch']}"
    kept = hashlib.sha256(name.encode()).hexdigest()[:16]
    return cache_directory() / "steps" / kept / f"{key_of(recipe, target)}.json"


def _read(path: Path) -> StepCost | None:
    try:
        found = read_json(path)
        return {
            "step_ms": float(found["step_ms"]),
            "frameworks_bytes": int(found["frameworks_bytes"]),
            "weight_bytes": int(found["weight_bytes"]),
            "peak_bytes": int(found["peak_bytes"]),
            "device_name": str(found["device_name"]),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, cost: StepCost) -> None:
    with suppress(OSError, CompacterError):  # kept or not, it is known now
        make_directory(path.parent)
        write_json(path, cost)

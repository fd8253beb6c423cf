"""What a run will take on this machine, from two quick steps over a part of its batch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.errors import counted
from compacter_cli.profiling.steps import STEPS, TARGET, kept_cost, machine_of, measured_cost
from compacter_cli.t5.shapes import shape_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from compacter_cli.profiling.rows import Machine
    from compacter_cli.profiling.steps import StepCost
    from compacter_cli.recipe.recipe import Recipe

CPU_TOKENS = 1_024  # of a measured step's sources: beyond them a CPU takes as long for each
LENGTH_STEP = 8  # lengths are rounded up to a multiple, so that what was measured serves again
KEPT_A_WEIGHT = 3 * 4  # bytes, for each that trains: its gradient and AdamW's two moments
ROOM = 2  # times the weights: what measuring takes beside them


class Forecast(TypedDict):
    """What training steps of a whole run take; scoring after each epoch is not in it.

    `peak_bytes` is beside what the frameworks take: `frameworks_bytes` of a CPU's. `steps` of
    `examples` sources of `source_tokens` were measured; on a CPU both figures are scaled from them
    to the batch.
    """

    seconds: float
    peak_bytes: int
    frameworks_bytes: int
    device_name: str
    steps: int
    examples: int
    source_tokens: int


def forecast(
    recipe: Recipe,
    updates: int,
    lengths: tuple[float, float] | None,
    device: str | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Forecast | None:
    """What a run of `updates` updates will take.

    Args:
        recipe: resolved recipe.
        updates: of the whole run.
        lengths: mean tokens of a source and of a target; the longest sources where not known.
        device: "cpu" or "cuda"; a GPU where there is one.
        threads: CPU threads; torch's own choice.
        say: called with a line before something is measured.

    Returns:
        `None` where nothing could be measured, or memory would not do for that.

    Raises:
        CompacterError: the device is not there.
    """
    machine = machine_of(device, threads)
    needed, free = ROOM * 4 * shape_of(recipe.backbone.preset).parameters(), machine["free_bytes"]
    if free is not None and needed > free:
        return None
    part, target = measured_part(recipe, lengths, machine)
    cost = kept_cost(part, machine, target)
    if cost is None:
        size = part.train.batch_size
        say(f"measuring {STEPS} steps of {counted(size, 'example')}, on random weights ...")
        cost = measured_cost(part, machine, threads, target)
    return None if cost is None else scaled(cost, recipe, part, updates)


def measured_part(
    recipe: Recipe, lengths: tuple[float, float] | None, machine: Machine
) -> tuple[Recipe, int]:
    """`(the recipe of the steps that are measured, tokens of their targets)`."""
    longest = recipe.data.source_length
    mean, target = lengths or (longest, TARGET)
    source = min(longest, LENGTH_STEP * math.ceil(mean / LENGTH_STEP))
    size = recipe.train.batch_size
    if machine["device"] == "cpu":
        size = min(size, max(1, CPU_TOKENS // source))
    answers = math.ceil(recipe.train.eval_batch_size * size / recipe.train.batch_size)
    changes = {"batch_size": size, "accumulate": 1, "eval_batch_size": answers}
    train = recipe.train.model_copy(update=changes)
    data = recipe.data.model_copy(update={"source_length": source})
    return recipe.model_copy(update={"train": train, "data": data}), math.ceil(target)


def of_the_batch(cost: StepCost, recipe: Recipe, part: Recipe) -> StepCost:
    """What an update of a recipe takes, by the cost of a step over a `part` of its batch."""
    train = recipe.train
    trained = sum(recipe.method.count(shape_of(recipe.backbone.preset)).values())
    growth = cost["peak_bytes"] - cost["weight_bytes"]
    moving = max(0, growth - KEPT_A_WEIGHT * trained)  # what grows with the batch
    more = train.batch_size / part.train.batch_size
    return {
        **cost,
        "step_ms": cost["step_ms"] * more * train.accumulate,
        "peak_bytes": round(cost["peak_bytes"] + (more - 1) * moving),
    }


def scaled(cost: StepCost, recipe: Recipe, part: Recipe, updates: int) -> Forecast:
    """What a whole run takes by the cost of a step over a `part` of its batch."""
    update = of_the_batch(cost, recipe, part)
    return {
        "seconds": updates * update["step_ms"] / 1_000,
        "peak_bytes": update["peak_bytes"],
        "frameworks_bytes": cost["frameworks_bytes"],
        "device_name": cost["device_name"],
        "steps": STEPS,
        "examples": part.train.batch_size,
        "source_tokens": part.data.source_length,
    }

"""The methods of a profile, measured one after the other and compared with full fine-tuning."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import TYPE_CHECKING

from compacter_cli.data.sources import find_rows
from compacter_cli.errors import CompacterError, Interrupted, MissingResourceError, UsageError
from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import count
from compacter_cli.profiling.budget import measured_within_budget
from compacter_cli.profiling.children import run_job, run_probe
from compacter_cli.profiling.deltas import DEFINITION, paper_deltas, with_deltas
from compacter_cli.profiling.job import Job, Probe
from compacter_cli.profiling.limits import check_budget
from compacter_cli.profiling.plan import NO_TASK, recipes_of
from compacter_cli.t5.preset_places import cached_directory
from compacter_cli.t5.shapes import RANDOM_TINY, local_directory
from compacter_cli.tasks import task_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from compacter_cli.profiling.request import ProfileRequest
    from compacter_cli.profiling.rows import Costs, Counts, Failure, Machine, Named, Profile, Row
    from compacter_cli.recipe.recipe import Recipe


def compare(
    request: ProfileRequest,
    say: Callable[[str], None] = lambda line: None,
    measured: Callable[[Row], None] = lambda row: None,
) -> Profile:
    """What training steps of methods cost, each measured in a process of its own, in turn.

    Args:
        request: what is measured.
        say: called with a line before each method.
        measured: called with each method's row, without what compares it with others.

    Raises:
        CompacterError: what is asked for cannot be.
        Stopped: Ctrl-C, SIGTERM or SIGHUP, with the rows until then.
    """
    recipes = recipes_for(request)
    first = next(iter(recipes.values()))
    vocabulary = vocabulary_for_task(first, request.vocabulary) if request.task else None
    machine = machine_for(request)
    job = Job(
        recipe={},
        target=request.target,
        steps=request.steps,
        device=machine["device"],
        threads=request.threads,
        vocabulary=vocabulary,
        budget=request.memory_budget,
    )
    rows: list[Row] = []
    profile: Profile = {
        "backbone": first.backbone.preset,
        "batch": None if request.memory_budget else first.train.batch_size,
        "accumulate": first.train.accumulate,
        "source": first.data.source_length,
        "target": request.target,
        "precision": first.backbone.precision,
        "device": machine["device"],
        "device_name": machine["device_name"],
        "threads": machine["threads"],
        "torch": machine["torch"],
        "steps": request.steps,
        "task": request.task,
        "vocabulary": vocabulary,
        "budget_bytes": request.memory_budget,
        "delta": DEFINITION,
        "methods": rows,
    }
    try:
        for number, recipe in enumerate(recipes.values(), start=1):
            say(f"measuring {recipe.method.name} ({number} of {len(recipes)}) ...")
            rows.append(row_of(recipe, job))
            measured(rows[-1])
    except KeyboardInterrupt as interrupt:
        if not rows:
            raise
        raise Stopped({**profile, "methods": with_deltas(rows)}, interrupt) from None
    return {**profile, "methods": with_deltas(rows)}


class Stopped(Interrupted):
    """A signal ended the measuring; `profile` has the rows until then."""

    def __init__(self, profile: Profile, interrupt: KeyboardInterrupt) -> None:
        super().__init__(signum=getattr(interrupt, "signum", signal.SIGINT))
        self.profile = profile


def recipes_for(request: ProfileRequest) -> dict[str, Recipe]:
    """The recipe of every method that is asked for, by name; see `recipes_of`."""
    tables = {
        "task": request.task or NO_TASK,
        "backbone": {"preset": request.backbone, "precision": request.precision},
        "train": {"batch_size": request.batch},
        "data": {"source_length": request.source},
    }
    return recipes_of(dict.fromkeys(request.methods or METHODS), tables, request.overrides)


def vocabulary_for_task(recipe: Recipe, given: str | None) -> str:
    """Where the vocabulary for the task's lengths is; the task's rows are there as well.

    Raises:
        MissingResourceError: one of them is not.
    """
    find_rows(task_of(recipe), recipe.data, offline=True)
    preset = given or recipe.backbone.preset
    if preset == RANDOM_TINY or local_directory(preset):
        return preset
    if directory := cached_directory(preset):
        return str(directory)
    raise MissingResourceError(
        f'the lengths of {recipe.task} need a vocabulary, and that of "{preset}" is not on this '
        "disk",
        "give --vocabulary DIR, a preset directory that has it, of whatever size",
    )


def machine_for(request: ProfileRequest) -> Machine:
    """What there is to know of the device.

    Raises:
        UsageError: there is no such device, or it has not as much free memory as the budget.
        CompacterError: no child process can tell.
    """
    found = run_probe(Probe(request.device, request.threads))
    if "failed" in found:
        kind = UsageError if found.get("usage") else CompacterError
        raise kind(found["failed"], found.get("hint"))
    if request.memory_budget:
        where = "this machine" if found["device"] == "cpu" else found["device_name"]
        check_budget(request.memory_budget, found["free_bytes"], where)
    return found


def row_of(recipe: Recipe, job: Job) -> Row:
    """A method's counts and costs, or why it has none; `job` is what all methods share."""
    method = recipe.method
    named: Named = {
        "method": method.name,
        "settings": method.settings(),
        "paper_delta_percent": paper_deltas(method.name),
    }
    counted = count(recipe.backbone.preset, method)
    if counted.problems:
        problem = counted.problems[0]
        return {**named, "failed": problem.short or problem.message}
    counts: Counts = {
        "trained": counted.own.trained,
        "percent": counted.percent(),
        "percent_own": counted.percent_own(),
    }
    answer = _measured(replace(job, recipe=recipe.plain()))
    if "failed" in answer:
        return {**named, **counts, **answer}
    return {**named, **counts, **answer, "delta_percent": None}


def _measured(job: Job) -> Costs | Failure:
    if job.budget and job.device == "cpu":
        return measured_within_budget(job)
    return run_job(replace(job, search=bool(job.budget)))

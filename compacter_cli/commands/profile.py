"""`compacter profile`: what a training step of each method takes, in time and in memory."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from compacter_cli.commands.console import err, out, print_json
from compacter_cli.commands.options import DeviceOption, JsonOption, SetOption
from compacter_cli.commands.profile_tables import cost_table, delta_table, heading, legend
from compacter_cli.data.sources import check_rows
from compacter_cli.errors import CompacterError, MissingResourceError, UsageError
from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import count
from compacter_cli.profiling.budget import measured_within_budget
from compacter_cli.profiling.children import run_job
from compacter_cli.profiling.deltas import DEFINITION, add_deltas
from compacter_cli.profiling.job import Job
from compacter_cli.profiling.limits import check_budget, parse_size
from compacter_cli.profiling.plan import NO_TASK, recipes_of
from compacter_cli.profiling.plot import check_plot, save_plot
from compacter_cli.t5.loading import cached_directory
from compacter_cli.t5.shapes import RANDOM_TINY, local_directory
from compacter_cli.tasks import task_of
from compacter_cli.training.run_directory import plain_recipe


def command(
    method: Annotated[
        list[str] | None, typer.Option("--method", help="A method. Repeatable; all by default.")
    ] = None,
    backbone: Annotated[
        str, typer.Option("--backbone", help="KerasHub name or preset directory: its dimensions.")
    ] = "t5_base_multi",
    batch: Annotated[int, typer.Option("--batch", min=1, help="Examples of a step.")] = 16,
    source: Annotated[int, typer.Option("--source", min=1, help="Tokens of a source.")] = 128,
    target: Annotated[int, typer.Option("--target", min=1, help="Tokens of a target.")] = 4,
    precision: Annotated[
        Literal["float32", "bfloat16"], typer.Option("--precision", help="Of the computation.")
    ] = "float32",
    device: DeviceOption = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads; torch's own choice.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps timed.")] = 5,
    task: Annotated[
        str | None,
        typer.Option("--task", help="Time an epoch of it, too; --set data.folder=... as in train."),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option("--vocabulary", help="Preset directory with the vocabulary for --task."),
    ] = None,
    memory_budget: Annotated[
        str | None,
        typer.Option("--memory-budget", help="Find the largest batch within it, such as 24GB."),
    ] = None,
    set_: SetOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw memory against time as PNG.")
    ] = None,
    json_: JsonOption = False,
):
    """Measure training steps of the methods, on random weights, against full fine-tuning.

    Example: compacter profile --method full --method compacterpp --backbone t5_small_multi
    """
    if plot:
        check_plot(plot)
    found = profile(
        methods=method,
        backbone=backbone,
        batch=batch,
        source=source,
        target=target,
        precision=precision,
        device=device,
        threads=threads,
        steps=steps,
        task=task,
        vocabulary=vocabulary,
        memory_budget=None if memory_budget is None else parse_size(memory_budget),
        overrides=set_ or (),
        say=lambda line: err.print(line, style="dim", soft_wrap=True),
    )
    if json_:
        print_json(found)
    else:
        show(found)
    if all("failed" in row for row in found["methods"]):
        raise CompacterError("no method could be measured", "the reasons are above, a line each")
    if plot:
        save_plot(found, plot)
        err.print(f"drawn: {plot}", soft_wrap=True)


def profile(
    *,
    methods=None,
    backbone="t5_base_multi",
    batch=16,
    source=128,
    target=4,
    precision="float32",
    device=None,
    threads=None,
    steps=5,
    task=None,
    vocabulary=None,
    memory_budget=None,
    overrides=(),
    say=lambda line: None,
):
    """What training steps of methods cost, each measured in a process of its own, in turn.

    Args:
        methods: names of methods; all by default.
        backbone: KerasHub name or preset directory, for its dimensions; its weights are not read.
        batch, source, target: examples of a step, and tokens of a source and of a target.
        precision: "float32" or "bfloat16".
        device: "cpu" or "cuda"; a GPU where there is one.
        threads: CPU threads, torch's own choice where left out.
        steps: training steps timed.
        task: name of a task of which an epoch is timed too, at its real lengths.
        vocabulary: preset directory whose vocabulary gives these lengths; the backbone's own
            where it is on this disk.
        memory_budget: bytes within which each method's largest batch is found, or `None`.
        overrides: `section.key=value` strings for any section of the recipe.
        say: called with a line before each method.

    Returns:
        Plain data: the setting, and a row a method; one that fails has `failed`.

    Raises:
        CompacterError: what is asked for cannot be.
    """
    tables = {
        "task": task or NO_TASK,
        "backbone": {"preset": backbone, "precision": precision},
        "train": {"batch_size": batch},
        "data": {"source_length": source},
    }
    recipes = recipes_of(dict.fromkeys(methods or METHODS), tables, overrides)
    first = next(iter(recipes.values()))
    words = _vocabulary_for(first, vocabulary) if task else None
    machine = _machine(device, threads, memory_budget)
    job = Job({}, target, steps, machine["device"], threads, words, memory_budget).as_data()
    rows = []
    for number, recipe in enumerate(recipes.values(), start=1):
        say(f"measuring {recipe.method.name} ({number} of {len(recipes)}) ...")
        rows.append(_row(recipe, job))
    del machine["free_bytes"]
    return {
        "backbone": first.backbone.preset,
        "batch": None if memory_budget else first.train.batch_size,
        "accumulate": first.train.accumulate,
        "source": first.data.source_length,
        "target": target,
        "precision": first.backbone.precision,
        **machine,
        "steps": steps,
        "task": task,
        "vocabulary": words,
        "budget_bytes": memory_budget,
        "delta": DEFINITION,
        "methods": add_deltas(rows),
    }


def _vocabulary_for(recipe, given):
    """Where the vocabulary for the task's lengths is; the task's rows are there as well.

    Raises:
        MissingResourceError: one of them is not.
    """
    check_rows(task_of(recipe), recipe.data, offline=True)
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


def _machine(device, threads, memory_budget):
    """What there is to know of the device; a budget must be free on it."""
    found = run_job({"probe": device, "threads": threads}, threads)
    if "failed" in found:
        kind = UsageError if found.get("usage") else CompacterError
        raise kind(found["failed"], found.get("hint"))
    if memory_budget:
        where = "this machine" if found["device"] == "cpu" else found["device_name"]
        check_budget(memory_budget, found["free_bytes"], where)
    return found


def _row(recipe, job):
    """A method's counts and costs, or why it has none."""
    method = recipe.method
    row = {"method": method.name, "settings": method.settings()}
    counted = count(recipe.backbone.preset, method)
    if counted.problems:
        return {**row, "failed": counted.problems[0].short or counted.problems[0].message}
    row |= {
        "trained": counted.own[0],
        "percent": counted.percent(),
        "percent_own": counted.percent_own(),
    }
    job = {**job, "recipe": plain_recipe(recipe)}
    if job["budget"] and job["device"] == "cpu":
        return row | measured_within_budget(job, job["threads"])
    return row | run_job({**job, "search": bool(job["budget"])}, job["threads"])


def show(found):
    """Print a profile: costs, deltas beside the paper's, and what the columns mean."""
    out.print(heading(found), soft_wrap=True)
    out.print(cost_table(found))
    out.print()
    out.print(delta_table(found))
    for line in legend(found):
        out.print(line, style="dim", soft_wrap=True)

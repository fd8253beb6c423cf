"""`compacter sweep`: a whole comparison, run by run, on this machine or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from compacter_cli.commands import completion
from compacter_cli.commands.options import (
    NUMBERS,
    DeviceOption,
    DryRunOption,
    EstimateOption,
    JsonOption,
    OfflineOption,
    SetOption,
    output_option,
    parts,
    tasks_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager

    from compacter_cli.sweeps.expansion import Expansion
    from compacter_cli.sweeps.running import Surroundings, SweepDisplay, SweepRun
    from compacter_cli.sweeps.sections import Sweep


def command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="SWEEP",
            help="A shipped sweep (table1, table2, demo ...) or the path of a file.",
            autocompletion=completion.sweeps,
        ),
    ] = None,
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="RECIPE",
            help="Compare recipes instead: an arm each. Repeatable.",
            autocompletion=completion.recipes,
        ),
    ] = None,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="SECTION.KEY=VALUE,VALUE",
            help="Values of the recipes to choose among. Repeatable.",
            autocompletion=completion.settings,
        ),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option("--seeds", metavar=NUMBERS, help="A run for each, as 1,2,3.")
    ] = None,
    set_: SetOption = None,
    task: Annotated[list[str] | None, tasks_option("Only this task")] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(
            "--arm",
            metavar="ARM",
            help="Only this arm, or several with commas. Repeatable.",
            callback=parts,
        ),
    ] = None,
    reported: Annotated[
        bool, typer.Option("--reported", help="No search: every arm as its recipe has it.")
    ] = False,
    output: Annotated[Path | None, output_option("Directory of the sweep to write.")] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Run what failed again, too.")] = False,
    dry_run: DryRunOption = False,
    estimate: EstimateOption = True,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            metavar="N",
            help="Runs at once; one, or as many as there are GPUs.",
        ),
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            "--scheduler", metavar="ADDRESS", help="Address of a Dask scheduler to run on."
        ),
    ] = None,
    device: DeviceOption = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads", min=1, metavar="N", help="CPU threads of a run; its share of all."
        ),
    ] = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
) -> None:
    """Run a comparison: every task, arm, setting and seed of a sweep; finished runs are kept.

    Example: compacter sweep demo --workers 2
    """
    from compacter_cli.commands.console import err, print_json
    from compacter_cli.commands.sweep_display import display_for
    from compacter_cli.commands.sweep_words import as_data, plan_data, show_plan, show_sweep
    from compacter_cli.sweeps.directory import check_takes, default_directory
    from compacter_cli.sweeps.expansion import expand
    from compacter_cli.sweeps.running import Surroundings

    asked = asked_for(name, recipe, grid, seeds, set_, task, arm, reported)
    found = expand(asked)
    directory = output or default_directory(asked)
    number, share = shares(workers, threads, device, scheduler)
    around = Surroundings(device, share, offline)
    check_takes(directory, asked)
    if dry_run:
        plan = plan_data(
            asked,
            found,
            directory,
            number,
            costs_of(found, around, err.say) if estimate else {},
        )
        print_json(plan) if json_ else show_plan(plan)
        return
    done = sweep(
        sweep=asked,
        expansion=found,
        directory=directory,
        workers=number,
        surroundings=around,
        scheduler=scheduler,
        retry=retry,
        display=display_for(json_),
    )
    print_json(as_data(done)) if json_ else show_sweep(done)
    _fail_if_any_failed(done)


def asked_for(
    name: str | None,
    recipes: Sequence[str] | None = None,
    grid: Sequence[str] | None = None,
    seeds: str | None = None,
    set_: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    arms: Sequence[str] | None = None,
    reported: bool = False,
) -> Sweep:
    """The sweep that the options ask for.

    Raises:
        UsageError: they do not go together, or name what is not there.
    """
    from compacter_cli.errors import UsageError
    from compacter_cli.recipe.shipped import shipped_sweeps
    from compacter_cli.sweeps import expansion, reading

    if (name is None) == (not recipes):
        raise UsageError(
            "expected the name of a sweep, or --recipe" + (", not both" if name else ""),
            f"shipped: {', '.join(shipped_sweeps())}",
        )
    sweep = reading.load_sweep(name) if name else reading.sweep_of_recipes(recipes or ())
    sweep = reading.with_parts(sweep, tasks, arms)
    sweep = expansion.reported(sweep) if reported else sweep
    return reading.with_values(
        sweep,
        reading.grid_of(grid or ()),
        reading.seeds_of(seeds) if seeds is not None else None,
        set_ or (),
    )


def shares(
    workers: int | None, threads: int | None, device: str | None, scheduler: str | None
) -> tuple[int, int | None]:
    """(workers, CPU threads of each) on this machine; a cluster's workers know their own."""
    import os

    from compacter_cli.sweeps.executors import cores, gpus

    if scheduler:
        return workers or 1, threads
    found = [] if device else gpus()
    number = workers or max(1, len(found))
    if threads is None and "OMP_NUM_THREADS" in os.environ:
        return number, None  # what it says, each run takes
    return number, threads or max(1, cores() // number)


def costs_of(expansion: Expansion, surroundings: Surroundings, say: Any) -> dict[str, Any]:
    """What a step of each kind of run takes on this machine; see `estimates.step_costs`."""
    from compacter_cli.sweeps.estimates import step_costs

    return step_costs(expansion.runs, surroundings.device, surroundings.threads, say)


def sweep(
    *,
    sweep: Sweep,
    expansion: Expansion,
    directory: Path,
    workers: int = 1,
    surroundings: Surroundings | None = None,
    scheduler: str | None = None,
    retry: bool = False,
    display: SweepDisplay | None = None,
) -> SweepRun:
    """Run what is left of a sweep into its directory.

    Args:
        sweep: what is asked for.
        expansion: all its runs, by `expand`.
        directory: the sweep's; what it holds of it is kept and gone on with.
        workers: runs at once on this machine.
        surroundings: how runs are run.
        scheduler: address of a Dask scheduler, to run on its cluster instead.
        retry: run those that failed again, too.
        display: what is told while it goes on; silent by default.

    Raises:
        CompacterError: it cannot be begun; a run that fails ends no other, and is noted.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; all runs can be gone on with.
    """
    from compacter_cli.sweeps.directory import begin
    from compacter_cli.sweeps.running import Surroundings, carry_out, sweep_run

    surroundings = surroundings or Surroundings()
    check_resources(expansion, surroundings.offline)
    with executor_of(workers, scheduler) as executor:
        lock = begin(directory, sweep, expansion.runs)
        try:
            found = sweep_run(directory, sweep, expansion.runs, surroundings, retry)
            carry_out(found, executor, display, _on_this_machine(workers, surroundings, scheduler))
            return found
        finally:
            lock.release()


def _on_this_machine(workers: int, surroundings: Surroundings, scheduler: str | None) -> Any:
    """How this machine's workers run a job: in turn on its GPUs, where there are any."""
    from compacter_cli.sweeps.executors import Slots, gpus

    if scheduler:
        return None
    return Slots(workers, [] if surroundings.device else gpus())


def executor_of(workers: int, scheduler: str | None) -> AbstractContextManager[Executor]:
    """Where the runs are run."""
    from compacter_cli.sweeps.executors import dask_executor, local_executor

    return dask_executor(scheduler) if scheduler else local_executor(workers)


def check_resources(expansion: Expansion, offline: bool) -> None:
    """Look for all backbones and rows before anything is trained.

    Raises:
        MissingResourceError: one is neither here nor to be had.
    """
    from compacter_cli.data.sources import find_rows
    from compacter_cli.t5.preset_places import check_preset
    from compacter_cli.tasks import task_of
    from compacter_cli.training.watching import check_watchers

    recipes = [run.recipe for run in expansion.runs]
    for preset in dict.fromkeys(recipe.backbone.preset for recipe in recipes):
        check_preset(preset, offline)
    places = {
        (recipe.task, *(getattr(recipe.data, key) for key in recipe.data.paths)): recipe
        for recipe in recipes
    }
    watchers = {name for recipe in recipes for name in recipe.output.watch}
    check_watchers(sorted(watchers))
    for recipe in places.values():
        find_rows(task_of(recipe), recipe.data, offline)


def _fail_if_any_failed(done: SweepRun) -> None:
    from compacter_cli.errors import CompacterError, counted
    from compacter_cli.sweeps.index import count_states

    if failed := count_states(done.lines)["failed"]:
        raise CompacterError(
            f"{failed} of {counted(len(done.lines), 'run')} failed",
            "mend what their logs say, and give the same command with --retry",
        )

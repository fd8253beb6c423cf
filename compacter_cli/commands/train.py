"""`compacter train`: from a recipe to a trained, saved, tested adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compacter_cli.commands.options import (
    DeviceOption,
    DryRunOption,
    EstimateOption,
    JsonOption,
    OfflineOption,
    OverwriteOption,
    RecipeOption,
    ResumeOption,
    SetOption,
    ThreadsOption,
    given_again,
    output_option,
)

if TYPE_CHECKING:
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.training.processes import Processes
    from compacter_cli.training.records import Result


def command(
    recipe: RecipeOption,
    set_: SetOption = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", help="Same as --set seed=N.")
    ] = None,
    output: Annotated[Path | None, output_option("Run directory to write.")] = None,
    resume: ResumeOption = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="With --resume: fail if the newest saved state is damaged."),
    ] = False,
    overwrite: OverwriteOption = False,
    dry_run: DryRunOption = False,
    estimate: EstimateOption = True,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
) -> None:
    """Train an adapter from a recipe, keep the best epoch, and test it.

    Example: compacter train --recipe glue/rte_compacterpp.toml --set data.folder=my_glue

    In several processes: torchrun --nproc-per-node N -m compacter_cli train --recipe ...
    """
    from compacter_cli.commands.console import err, print_json
    from compacter_cli.commands.plan import plan, show_plan
    from compacter_cli.recipe.recipe import load_recipe
    from compacter_cli.training.joining import joined
    from compacter_cli.training.run import check_options
    from compacter_cli.training.run_directory import run_directory, wrote_recipe

    with joined(device) as processes:
        check_options(resume, strict, overwrite)
        overrides = [*(set_ or []), *([f"seed={seed}"] if seed is not None else [])]
        resolved = load_recipe(recipe, overrides, of_run=wrote_recipe(recipe))
        directory = run_directory(resolved, output)
        if dry_run:
            if processes.main:
                planned = plan(
                    recipe=resolved,
                    directory=directory,
                    device=device,
                    threads=threads,
                    offline=offline,
                    resume=resume,
                    measure=estimate,
                    say=err.say,
                )
                print_json(planned) if json_ else show_plan(planned)
            return
        result = _trained(
            resolved,
            directory,
            device,
            threads,
            offline,
            overwrite,
            resume,
            strict,
            json_,
            processes,
        )
        if processes.main:
            print_json(result) if json_ else show_result(result)


def _trained(
    recipe: Recipe,
    directory: Path,
    device: str | None,
    threads: int | None,
    offline: bool,
    overwrite: bool,
    resume: bool,
    strict: bool,
    quiet: bool,
    processes: Processes,
) -> Result:
    """The result of a run, trained now or found finished; the main process tells how it goes."""
    from compacter_cli.commands.console import show_note, start_frameworks
    from compacter_cli.commands.progress import display_for
    from compacter_cli.training.claim import resume_command
    from compacter_cli.training.run import check_before_training, check_share, finished, train
    from compacter_cli.training.run_log import logged

    check_share(recipe, processes)
    if resume and (result := finished(recipe, directory, processes)) is not None:
        if processes.main:
            show_note(f"{directory} is finished: there is nothing to go on with")
        return result
    source = check_before_training(recipe, directory, offline, overwrite, resume)
    start_frameworks(quiet, silent=not processes.main, threads=threads)
    with logged(display_for(quiet)) as display:
        return train(
            recipe=recipe,
            directory=directory,
            device=device,
            offline=offline,
            overwrite=overwrite,
            resume=resume,
            strict=strict,
            display=display,
            source=source,
            processes=processes,
            command=resume_command(
                f"{processes.program} train", directory, device, given_again(threads, offline)
            ),
        )


def show_result(result: Result) -> None:
    """Print a result: scores, what it took, and the next command."""
    from compacter_cli.commands.console import out, show_note
    from compacter_cli.commands.score_tables import result_table
    from compacter_cli.training.words import ending_lines, warnings_of

    out.print()
    out.print(result_table(result))
    for warning in warnings_of(result["test"]):
        show_note(f"on the test set, {warning}")
    out.print()
    for line in ending_lines(result):
        out.say(line)
    out.say(f"\nnext: {next_command(result)}")


def next_command(result: Result) -> str:
    """The command behind a run: to score it; to train longer where it cannot answer yet."""
    import shlex

    from compacter_cli.training.claim import RECIPE

    if result["test"]["invalid"] == result["test"]["count"]:
        recipe = shlex.quote(f"{result['run']}/{RECIPE}")
        return f"compacter train --recipe {recipe} --set train.epochs={4 * result['epochs']}"
    return f"compacter evaluate --run {shlex.quote(result['run'])}"

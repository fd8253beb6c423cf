"""`compacter train`: from a recipe to a trained, saved, tested adapter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

import typer

from compacter_cli.commands.options import (
    DeviceOption,
    JsonOption,
    OfflineOption,
    RecipeOption,
    SetOption,
)

if TYPE_CHECKING:
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.training.processes import Processes
    from compacter_cli.training.records import Result
    from compacter_cli.training.run_state import Standing


class Plan(TypedDict):
    """What a recipe would do: `run` is the directory, `taken` whether something is there.

    `standing` is how far the run in it is, where it is to be gone on with. `unchecked` are
    sentences on what only a run can tell.
    """

    run: str
    taken: bool
    standing: Standing | None
    unchecked: list[str]
    method: list[str]
    rows: dict[str, int]
    splits: str
    updates: int
    recipe: dict[str, Any]


def command(
    recipe: RecipeOption,
    set_: SetOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Run directory to write.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Same as --set seed=N.")] = None,
    device: DeviceOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, print the plan, train nothing.")
    ] = False,
    offline: OfflineOption = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a run that is there already.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run that is there, or begin it.")
    ] = False,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="With --resume: fail if the newest saved state is damaged."),
    ] = False,
    json_: JsonOption = False,
) -> None:
    """Train an adapter from a recipe, keep the best epoch, and test it.

    Example: compacter train --recipe glue/rte_compacterpp.toml --set data.folder=my_glue

    In several processes: torchrun --nproc-per-node N -m compacter_cli train --recipe ...
    """
    from compacter_cli.commands.console import print_json
    from compacter_cli.recipe.recipe import load_recipe
    from compacter_cli.training.processes import joined
    from compacter_cli.training.run import check_options
    from compacter_cli.training.run_directory import run_directory, wrote_recipe

    with joined(device) as processes:
        check_options(resume, strict, overwrite)
        overrides = [*(set_ or []), *([f"seed={seed}"] if seed is not None else [])]
        resolved = load_recipe(recipe, overrides, of_run=wrote_recipe(recipe))
        directory = run_directory(resolved, output)
        if dry_run:
            planned = plan(
                recipe=resolved, directory=directory, device=device, offline=offline, resume=resume
            )
            if processes.main:
                print_json(planned) if json_ else show_plan(planned)
            return
        result = _trained(
            resolved, directory, device, offline, overwrite, resume, strict, json_, processes
        )
        if processes.main:
            print_json(result) if json_ else show_result(result)


def _trained(
    recipe: Recipe,
    directory: Path,
    device: str | None,
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
    from compacter_cli.training.run import check_before_training, check_share, finished, train

    check_share(recipe, processes)
    if resume and (result := finished(recipe, directory, processes)) is not None:
        if processes.main:
            show_note(f"{directory} is finished: there is nothing to go on with")
        return result
    source = check_before_training(recipe, directory, offline, overwrite, resume)
    start_frameworks(quiet, silent=not processes.main)
    return train(
        recipe=recipe,
        directory=directory,
        device=device,
        offline=offline,
        overwrite=overwrite,
        resume=resume,
        strict=strict,
        display=display_for(quiet),
        source=source,
        processes=processes,
    )


def plan(
    *,
    recipe: Recipe,
    directory: Path,
    device: str | None = None,
    offline: bool = False,
    resume: bool = False,
) -> Plan:
    """What a recipe would do, found without a framework; a zip of rows is read to its end.

    Raises:
        CompacterError: the run could not be started.
    """
    from compacter_cli.commands.words import method_lines
    from compacter_cli.data.sources import split_sizes
    from compacter_cli.t5.shapes import shape_of
    from compacter_cli.tasks import task_of
    from compacter_cli.training.claim import is_vacant
    from compacter_cli.training.run import check_before_training
    from compacter_cli.training.run_state import standing

    source = check_before_training(recipe, directory, offline, overwrite=True, resume=resume)
    if reads_an_archive(recipe):
        source.load()  # a web page saved as a zip is found out here, not in a night's queue
    task, shape = task_of(recipe), shape_of(recipe.backbone.preset)
    sizes = split_sizes(task, recipe.data)
    examples = min(sizes["train"], recipe.data.max_train_samples or sizes["train"])
    return {
        "run": str(directory),
        "taken": not is_vacant(Path(directory)),
        "standing": standing(Path(directory), recipe) if resume else None,
        "unchecked": unchecked(device),
        "method": method_lines(recipe.method, shape),
        "rows": sizes,
        "splits": task.split.words,
        "updates": recipe.train.updates_per_epoch(examples) * recipe.train.epochs,
        "recipe": recipe.plain(),
    }


def reads_an_archive(recipe: Recipe) -> bool:
    """Whether a recipe's rows are in an original zip; prepared ones are checked when found."""
    from compacter_cli.recipe.sections import DataSection

    return isinstance(recipe.data, DataSection) and recipe.data.archive is not None


def unchecked(device: str | None) -> list[str]:
    """What a plan cannot say without torch, in sentences."""
    if device is None or device == "cpu":
        return []
    return [f"not checked: whether {device} is here, which only torch knows"]


def show_plan(found: Plan) -> None:
    """Print a plan: the resolved recipe and what it comes to."""
    import tomli_w

    from compacter_cli.commands.console import out

    out.print(tomli_w.dumps(found["recipe"]), soft_wrap=True)
    for line in found["method"]:
        out.print(line, soft_wrap=True)
    sizes = ", ".join(f"{size:,} {split}" for split, size in found["rows"].items())
    out.print(f"{sizes} rows ({found['splits']})", soft_wrap=True)
    place = f"the run would go to {found['run']}{_standing_words(found)}"
    out.print(f"{found['updates']:,} updates; {place}", soft_wrap=True)
    for sentence in found["unchecked"]:
        out.print(sentence, soft_wrap=True)


def _standing_words(found: Plan) -> str:
    if found["standing"]:
        ways = {"vacant": ", where it begins", "unfinished": ", where it goes on"}
        return ways.get(found["standing"], ", where it is finished: there is nothing to do")
    if found["taken"]:
        return ", which is taken: --resume goes on with a run, --overwrite replaces it"
    return ""


def show_result(result: Result) -> None:
    """Print a result: scores, what it took, and the next command."""
    import shlex

    from compacter_cli.commands.console import out, show_note
    from compacter_cli.commands.score_tables import result_table
    from compacter_cli.commands.words import ending_lines, warnings_of

    out.print()
    out.print(result_table(result))
    for warning in warnings_of(result["test"]):
        show_note(f"on the test set, {warning}")
    out.print()
    for line in ending_lines(result):
        out.print(line, soft_wrap=True)
    out.print(f"\nnext: compacter evaluate --run {shlex.quote(result['run'])}", soft_wrap=True)

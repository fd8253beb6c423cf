"""`compacter train`: from a recipe to a trained, saved, tested adapter."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from compacter_cli.commands.console import err, out, print_json, show_note, start_frameworks
from compacter_cli.commands.options import (
    DeviceOption,
    JsonOption,
    OfflineOption,
    RecipeOption,
    SetOption,
)
from compacter_cli.commands.progress import Silent, progress_for
from compacter_cli.data.sources import check_rows, split_sizes
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import check_preset
from compacter_cli.t5.shapes import shape_of
from compacter_cli.tasks import task_of
from compacter_cli.training import run_directory as runs
from compacter_cli.training.memory import memory_advice
from compacter_cli.training.report import ending_lines, method_lines, result_table, warnings_of


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
    json_: JsonOption = False,
):
    """Train an adapter from a recipe, keep the best epoch, and test it.

    Example: compacter train --recipe glue/rte_compacterpp.toml --set data.folder=my_glue
    """
    overrides = [*(set_ or []), *([f"seed={seed}"] if seed is not None else [])]
    resolved = load_recipe(recipe, overrides)
    directory = runs.run_directory(resolved, output)
    if dry_run:
        show_plan(plan(recipe=resolved, directory=directory, offline=offline), json_)
        return
    check_before_training(resolved, directory, offline, overwrite)
    start_frameworks(quiet=json_)
    result = train(
        recipe=resolved,
        directory=directory,
        device=device,
        offline=offline,
        overwrite=overwrite,
        progress=Silent() if json_ else progress_for(err),
    )
    if json_:
        print_json(result)
    else:
        show_result(result)


def check_before_training(recipe, directory, offline=False, overwrite=False):
    """Everything that can be known to fail without a framework, within seconds."""
    runs.check_vacant(directory, overwrite)
    check_preset(recipe.backbone.preset, offline)
    check_rows(task_of(recipe), recipe.data, offline)


def train(*, recipe, directory, device=None, offline=False, overwrite=False, progress=None):
    """Train a recipe into a run directory.

    Args:
        recipe: resolved `Recipe`.
        directory: run directory to write; taken ones are refused without `overwrite`.
        device: "cpu" or "cuda"; a GPU where there is one.
        offline: bool. Fetch nothing.
        overwrite: bool. Replace a run that is there already.
        progress: display, see `compacter_cli.commands.progress`; silent by default.

    Returns:
        The result as plain data, as in the run's `result.json`.

    Raises:
        CompacterError: the run cannot be started, or fails.
        KeyboardInterrupt: Ctrl-C; what was trained is in `last/`.
    """
    from compacter_cli.training.session import Session

    check_before_training(recipe, directory, offline, overwrite)
    with (
        memory_advice(recipe.train, directory),
        Session(recipe, directory, device, offline, progress or Silent()) as session,
    ):
        session.start(overwrite)
        session.train()
        return session.finish()


def plan(*, recipe, directory, offline=False):
    """What a recipe would do, as plain data, found without a framework.

    Raises:
        CompacterError: the run could not be started.
    """
    import math

    check_before_training(recipe, directory, offline, overwrite=True)
    task, shape = task_of(recipe), shape_of(recipe.backbone.preset)
    sizes = split_sizes(task, recipe.data)
    examples = min(sizes["train"], recipe.data.max_train_samples or sizes["train"])
    size = recipe.train.batch_size * recipe.train.accumulate
    return {
        "run": str(directory),
        "taken": not runs.is_vacant(Path(directory)),
        "method": method_lines(recipe.method, shape),
        "rows": sizes,
        "splits": task.split.words,
        "updates": math.ceil(examples / size) * recipe.train.epochs,
        "recipe": runs.plain_recipe(recipe),
    }


def show_plan(found, as_json):
    """Print a plan: the resolved recipe and what it comes to."""
    if as_json:
        print_json(found)
        return
    import tomli_w

    recipe = found["recipe"]
    out.print(tomli_w.dumps(recipe), soft_wrap=True)
    for line in found["method"]:
        out.print(line, soft_wrap=True)
    sizes = ", ".join(f"{size:,} {split}" for split, size in found["rows"].items())
    out.print(f"{sizes} rows ({found['splits']})", soft_wrap=True)
    taken = ", which is taken: give --overwrite to replace it" if found["taken"] else ""
    out.print(
        f"{found['updates']:,} updates; the run would go to {found['run']}{taken}", soft_wrap=True
    )


def show_result(result):
    """Print a result: scores, what it took, and the next command."""
    out.print()
    out.print(result_table(result))
    for warning in warnings_of(result["test"]):
        show_note(f"on the test set, {warning}")
    out.print()
    for line in ending_lines(result):
        out.print(line, soft_wrap=True)
    out.print(f"\nnext: compacter evaluate --run {shlex.quote(result['run'])}", soft_wrap=True)

"""`compacter pretrain`: from plain text to a small pretrained T5."""

from pathlib import Path
from typing import Annotated

import typer

from compacter_cli.commands.console import err, out, print_json, start_frameworks
from compacter_cli.commands.options import DeviceOption, JsonOption, RecipeOption, SetOption
from compacter_cli.commands.progress import Silent, progress_for
from compacter_cli.errors import UsageError
from compacter_cli.pretraining.corpus import check_text
from compacter_cli.pretraining.directory import check_resumable, check_vacant
from compacter_cli.pretraining.recipe import load_pretraining
from compacter_cli.pretraining.report import closing_lines, result_table
from compacter_cli.t5.runtime import on_device, start_keras


def command(
    recipe: RecipeOption,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Preset directory to write.", show_default=False)
    ],
    set_: SetOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue what was interrupted in the directory.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a pretraining that is there already.")
    ] = False,
    device: DeviceOption = None,
    json_: JsonOption = False,
):
    """Pretrain a small T5 from random weights on plain text, by T5's span corruption.

    Example: compacter pretrain --recipe demo/pretrain.toml --set text.files='["my.txt"]' -o my_t5
    """
    resolved = load_pretraining(recipe, set_ or [])
    check_before_pretraining(resolved, output, resume, overwrite)
    start_frameworks(quiet=json_)
    result = pretrain(
        recipe=resolved,
        directory=output,
        resume=resume,
        overwrite=overwrite,
        device=device,
        progress=Silent() if json_ else progress_for(err),
    )
    if json_:
        print_json(result)
    else:
        show_result(result)


def check_before_pretraining(recipe, directory, resume=False, overwrite=False):
    """Everything that can be known to fail without a framework."""
    if resume and overwrite:
        raise UsageError("--resume continues and --overwrite begins again", "give one of them")
    if resume:
        check_resumable(directory, recipe)
    else:
        check_vacant(directory, overwrite)
    check_text(recipe.text)


def pretrain(*, recipe, directory, resume=False, overwrite=False, device=None, progress=None):
    """Pretrain a T5 into a preset directory.

    Args:
        recipe: resolved `PretrainingRecipe`.
        directory: preset directory to write; taken ones are refused without `overwrite`.
        resume: bool. Continue the interrupted pretraining that is in it.
        overwrite: bool. Replace the pretraining that is in it.
        device: "cpu" or "cuda"; a GPU where there is one.
        progress: display, see `compacter_cli.commands.progress`; silent by default.

    Returns:
        The result as plain data, as in `pretraining.json`, and where the preset is.

    Raises:
        CompacterError: it cannot be started, or fails.
        KeyboardInterrupt: Ctrl-C; it can be resumed.
    """
    check_before_pretraining(recipe, directory, resume, overwrite)
    start_keras()
    from compacter_cli.pretraining.session import PretrainingSession

    with on_device(device) as device_name:
        session = PretrainingSession(recipe, directory, device_name, progress or Silent())
        session.resume() if resume else session.begin(overwrite)
        session.train()
        return session.finish()


def show_result(result):
    """Print a result: losses, what it took, and the next command."""
    out.print()
    out.print(result_table(result))
    for line in closing_lines(result):
        out.print()
        out.print(line, soft_wrap=True)

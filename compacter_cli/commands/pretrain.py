"""`compacter pretrain`: from plain text to a small pretrained T5."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from compacter_cli.commands.options import (
    DeviceOption,
    JsonOption,
    OverwriteOption,
    RecipeOption,
    ResumeOption,
    SetOption,
    ThreadsOption,
    given_again,
    output_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from compacter_cli.pretraining.recipe import PretrainingRecipe
    from compacter_cli.pretraining.records import Pretrained
    from compacter_cli.training.display import Display


def command(
    recipe: RecipeOption,
    output: Annotated[Path, output_option("Preset directory to write.", show_default=False)],
    set_: SetOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json_: JsonOption = False,
) -> None:
    """Pretrain a small T5 from random weights on plain text, by T5's span corruption.

    Example: compacter pretrain --recipe demo/pretrain.toml --set text.files='["my.txt"]' -o my_t5
    """
    from compacter_cli.commands.console import print_json, show_note, start_frameworks
    from compacter_cli.commands.progress import display_for
    from compacter_cli.pretraining.recipe import load_pretraining
    from compacter_cli.training.run_log import logged

    resolved = load_pretraining(recipe, set_ or [])
    result = finished(resolved, output) if resume and not overwrite else None
    if result is None:
        check_before_pretraining(resolved, output, resume, overwrite)
        start_frameworks(quiet=json_, threads=threads)
        with logged(display_for(json_)) as display:
            result = pretrain(
                recipe=resolved,
                directory=output,
                resume=resume,
                overwrite=overwrite,
                device=device,
                display=display,
                checked=True,
                options=given_again(threads),
            )
    else:
        show_note(f"{output} is finished: there is nothing to go on with")
    print_json(result) if json_ else show_result(result)


def finished(recipe: PretrainingRecipe, directory: Path) -> Pretrained | None:
    """What the pretraining of `recipe` in `directory` came to, `None` where it is not finished.

    Raises:
        UsageError: `directory` holds something else, or the pretraining is not to be gone on with.
    """
    from compacter_cli.pretraining.directory import read_summary, standing

    return read_summary(directory) if standing(directory, recipe) == "finished" else None


def check_before_pretraining(
    recipe: PretrainingRecipe, directory: Path, resume: bool = False, overwrite: bool = False
) -> None:
    """Everything that can be known to fail without a framework."""
    from compacter_cli.errors import UsageError
    from compacter_cli.pretraining.corpus import check_text
    from compacter_cli.pretraining.directory import check_vacant, standing
    from compacter_cli.training.claim import check_writable

    if resume and overwrite:
        raise UsageError("--resume goes on and --overwrite begins again", "give one of them")
    if resume:
        standing(directory, recipe)
    else:
        check_vacant(directory, overwrite)
    check_writable(directory)
    check_text(recipe.text)


def pretrain(
    *,
    recipe: PretrainingRecipe,
    directory: Path | str,
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    display: Display | None = None,
    checked: bool = False,
    options: Sequence[str] = (),
) -> Pretrained:
    """Pretrain a T5 into a preset directory.

    Args:
        recipe: resolved recipe.
        directory: preset directory to write; taken ones are refused without `overwrite`.
        resume: go on with the pretraining that is in it; begin it where there is none.
        overwrite: replace the pretraining that is in it.
        device: "cpu" or "cuda"; a GPU where there is one.
        display: what is told while it goes on; silent by default.
        checked: whether `check_before_pretraining` was called, to save checking again.
        options: of the command line beside `device`, to be given again by whoever goes on.

    Returns:
        The result, as in `pretraining.json`, and where the preset is.

    Raises:
        CompacterError: it cannot be started, or fails.
        KeyboardInterrupt: Ctrl-C; it can be resumed.
    """
    directory = Path(directory)
    if not checked:
        if resume and not overwrite and (result := finished(recipe, directory)) is not None:
            return result
        check_before_pretraining(recipe, directory, resume, overwrite)
    from compacter_cli.commands.pretraining_words import opening_lines
    from compacter_cli.pretraining.session import PretrainingSession
    from compacter_cli.t5.runtime import on_device, start_keras
    from compacter_cli.training.claim import is_vacant
    from compacter_cli.training.display import Display

    start_keras()
    display = display or Display()
    again = [*([f"--device {device}"] if device else []), *options]
    begun = resume and not is_vacant(directory)
    with on_device(device) as device_name:
        session = PretrainingSession(recipe, directory, device_name, display, again)
        with closing(session):
            session.resume() if begun else session.begin(overwrite)
            for line in opening_lines(session):
                display.line(line)
            session.train()
            return session.finish()


def show_result(result: Pretrained) -> None:
    """Print a result: losses, what it took, and the next command."""
    from compacter_cli.commands.console import out
    from compacter_cli.commands.pretraining_words import closing_lines, losses_table

    out.print()
    out.print(losses_table(result))
    for line in closing_lines(result):
        out.print()
        out.say(line)

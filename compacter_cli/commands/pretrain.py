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
    from compacter_cli.training.run_state import Standing


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
    from compacter_cli.pretraining.directory import read_summary
    from compacter_cli.pretraining.recipe import load_pretraining
    from compacter_cli.training.run_log import logged

    resolved = load_pretraining(recipe, set_ or [])
    found = check_before_pretraining(resolved, output, resume, overwrite)
    if found == "finished":
        result = read_summary(output)
        show_note(f"{output} is finished: there is nothing to go on with")
    else:
        start_frameworks(quiet=json_, threads=threads)
        with logged(display_for(json_)) as display:
            result = pretrain(
                recipe=resolved,
                directory=output,
                resume=resume,
                overwrite=overwrite,
                device=device,
                display=display,
                found=found,
                options=given_again(threads),
            )
    print_json(result) if json_ else show_result(result)


def check_before_pretraining(
    recipe: PretrainingRecipe, directory: Path, resume: bool = False, overwrite: bool = False
) -> Standing:
    """Everything that can be known to fail without a framework.

    Returns:
        How far the pretraining in `directory` is that is to be gone on with: "vacant" where one
        is to begin.
    """
    from compacter_cli.pretraining.corpus import check_text
    from compacter_cli.pretraining.directory import check_vacant, standing
    from compacter_cli.training.claim import check_writable
    from compacter_cli.training.run import check_options

    check_options(resume, False, overwrite)
    if not resume:
        check_vacant(directory, overwrite)
    found = standing(directory, recipe) if resume else "vacant"
    if found == "finished":
        return found
    check_writable(directory)
    check_text(recipe.text)
    return found


def pretrain(
    *,
    recipe: PretrainingRecipe,
    directory: Path | str,
    resume: bool = False,
    overwrite: bool = False,
    device: str | None = None,
    display: Display | None = None,
    found: Standing | None = None,
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
        found: what `check_before_pretraining` gave, to save checking again.
        options: of the command line beside `device`, to be given again by whoever goes on.

    Returns:
        The result, as in `pretraining.json`, and where the preset is.

    Raises:
        CompacterError: it cannot be started, or fails.
        KeyboardInterrupt: Ctrl-C; it can be resumed.
    """
    from compacter_cli.pretraining.directory import read_summary

    directory = Path(directory)
    found = found or check_before_pretraining(recipe, directory, resume, overwrite)
    if found == "finished":
        return read_summary(directory)
    from compacter_cli.commands.pretraining_words import opening_lines
    from compacter_cli.pretraining.session import PretrainingSession
    from compacter_cli.t5.runtime import on_device, start_keras
    from compacter_cli.training.claim import resume_command
    from compacter_cli.training.display import Display

    start_keras()
    display = display or Display()
    go_on = resume_command("compacter pretrain", directory, device, options)
    with on_device(device) as device_name:
        session = PretrainingSession(recipe, directory, device_name, display, go_on)
        with closing(session):
            session.resume() if found == "unfinished" else session.begin(overwrite)
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

"""`compacter convert`: a run for other programs, such as a plain preset without an adapter."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compacter_cli.commands.options import (
    DeviceOption,
    JsonOption,
    OfflineOption,
    UseOption,
    WhichOption,
)
from compacter_cli.errors import UsageError
from compacter_cli.exchange.formats import FORMATS, format_named
from compacter_cli.exchange.trained import Written

if TYPE_CHECKING:
    from compacter_cli.recipe.recipe import Recipe

_FORMATS = "; ".join(f"{name}: {form.words}" for name, form in FORMATS.items())


class Converted(Written):
    """What was made of which adapter, and where."""

    to: str
    directory: str
    adapter: str
    task: str
    method: str
    prefix: str | None


def command(
    run: Annotated[
        Path, typer.Argument(help="Run directory, as train printed it.", show_default=False)
    ],
    directory: Annotated[
        Path, typer.Argument(help="Directory to write: a new or an empty one.", show_default=False)
    ],
    to: Annotated[str, typer.Option("--to", help=f"The format. {_FORMATS}.")] = "keras-hub",
    which: WhichOption = "best",
    set_: UseOption = None,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
) -> None:
    """Fold a run's adapter into a plain KerasHub preset, in float32.

    What is linear can be folded: full, said, lora, ia3, lphm, krona, and whatever a method trains
    of the backbone itself. What is written is loaded again, and its logits are compared with the
    run's on its validation rows.

    Example: compacter convert runs/demo/sentiment/lora/mine my_t5
    """
    from compacter_cli.adapters.manifest import read_manifest
    from compacter_cli.adapters.restoring import recipe_with
    from compacter_cli.commands.console import load_frameworks, print_json
    from compacter_cli.t5.loading import check_preset
    from compacter_cli.training.run_directory import adapter_of_run

    format_named(to)
    adapter = adapter_of_run(run, which)
    check_directory(directory)
    recipe = recipe_with(read_manifest(adapter), adapter, set_ or [])
    check_preset(recipe.backbone.preset, offline)
    load_frameworks()
    found = convert(adapter=adapter, recipe=recipe, directory=directory, to=to, device=device)
    print_json(found) if json_ else show(found, recipe)


def convert(
    *,
    adapter: Path | str,
    recipe: Recipe,
    directory: Path | str,
    to: str = "keras-hub",
    device: str | None = None,
) -> Converted:
    """Write an adapter, on its backbone, in another program's format.

    Args:
        adapter: directory of the adapter.
        recipe: the one it was trained by, or with other places of backbone and rows; it is
            computed in float32, whatever the recipe says.
        directory: a new or an empty one; on an error it is left as it was.
        to: one of `FORMATS`.
        device: "cpu" or "cuda"; a GPU where there is one.

    Raises:
        UsageError: the recipe is another adapter's, the format cannot hold what its method adds,
            or the directory cannot be taken.
        CompacterError: the adapter is damaged or not of this backbone, or cannot be written.
    """
    from compacter_cli.adapters.adapter_file import load_adapter
    from compacter_cli.adapters.restoring import backbone_of, check_use, model_with
    from compacter_cli.exchange.trained import Trained
    from compacter_cli.files import new_directory, writing
    from compacter_cli.t5.runtime import on_device

    directory = Path(directory)
    form = format_named(to)
    check_directory(directory)
    loaded = load_adapter(adapter)
    check_use(loaded.manifest, loaded.directory, recipe)
    section = recipe.backbone.model_copy(update={"precision": "float32"})
    recipe = recipe.model_copy(update={"backbone": section})
    with on_device(device):
        backbone = backbone_of(recipe)
        trained = Trained(model_with(backbone, loaded, recipe), backbone.vocabulary, recipe)
        with writing(directory), new_directory(directory) as fresh:
            written = form.write(trained, fresh)
    return {
        "to": to,
        "directory": str(directory),
        "adapter": str(adapter),
        "task": recipe.task,
        "method": recipe.method.name,
        "prefix": recipe.data.prefix,
        **written,
    }


def check_directory(directory: Path) -> None:
    """Raise `UsageError` unless a new directory can take the name of `directory`."""
    from compacter_cli.files import fresh_place
    from compacter_cli.training.claim import check_writable

    if not os.path.exists(directory) and not os.path.islink(directory):
        check_writable(fresh_place(directory), "choose another directory")
        return
    if not directory.is_dir() or any(directory.iterdir()):
        raise UsageError(
            f"{directory} exists and is never overwritten", "choose a new or an empty directory"
        )
    if os.path.islink(directory) or os.path.ismount(directory) or directory.samefile(os.curdir):
        raise UsageError(
            f"{directory} cannot be replaced whole: it is a link, a mount or the working directory",
            f"give a new directory in it, such as {directory / 'merged'}",
        )
    check_writable(fresh_place(directory), "choose another directory")


def show(found: Converted, recipe: Recipe) -> None:
    """Print what was folded, how near it is, how it is used, and the next command."""
    from compacter_cli.commands.console import out, show_note

    if why := found["compared"]["why"]:
        show_note(f"compared on random tokens, for there were no rows: {why}")
    for line in lines_of(found, recipe):
        out.print(line, soft_wrap=True)


def lines_of(found: Converted, recipe: Recipe) -> list[str]:
    """What was done, in a few lines, and the next command."""
    from compacter_cli.data.dataset import with_prefix
    from compacter_cli.tasks import task_of
    from compacter_cli.training.claim import RECIPE

    folded, compared = found["folded"], found["compared"]
    untied = "; its head, trained as a copy, is untied" if folded["untied"] else ""
    text = with_prefix(task_of(recipe).shape[1], found["prefix"])
    preset = shlex.quote(os.path.abspath(found["directory"]))  # demo/t5 is also a name
    again = shlex.quote(str(Path(found["adapter"]).parent / RECIPE))
    return [
        f"{recipe.method.title} on {found['task']}, folded into {folded['tensors']:,} of "
        f"{folded['of_tensors']:,} weight tensors ({folded['parameters']:,} of "
        f"{folded['of_parameters']:,} parameters), in float32{untied}",
        f"largest difference of the logits: {compared['largest_difference']:.2g} (they reach "
        f"{compared['largest_logit']:.4g}), on {compared['examples']} examples: {compared['on']}",
        f"texts are read as in training: {text}",
        f"wrote {found['directory']}; backbone.preset and KerasHub's from_preset take it",
        f"\nnext: compacter train --recipe {again} --set backbone.preset={preset}",
    ]

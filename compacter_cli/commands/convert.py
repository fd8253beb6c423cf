"""`compacter convert`: a T5, or a trained adapter, in the format of another program."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compacter_cli.commands import completion
from compacter_cli.commands.options import (
    DeviceOption,
    JsonOption,
    OfflineOption,
    ThreadsOption,
    UseOption,
    WhichOption,
)
from compacter_cli.errors import UsageError
from compacter_cli.exchange.words import WORDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from compacter_cli.exchange.formats import Format
    from compacter_cli.exchange.trained import Converted, ConvertedBackbone, Trained, Written
    from compacter_cli.recipe.recipe import Recipe

_FORMATS = "; ".join(f"{name}: {words}" for name, words in WORDS.items())


def command(
    from_: Annotated[
        str,
        typer.Argument(
            metavar="FROM",
            help="Run directory, as train printed it; an adapter's directory; or a T5: a "
            "directory or a KerasHub name.",
            show_default=False,
        ),
    ],
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Directory to write: a new or an empty one.", show_default=False
        ),
    ],
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="FORMAT", help=f"The format. {_FORMATS}.", show_default=False),
    ] = None,
    which: WhichOption = "best",
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="RECIPE",
            help="Of another program's adapter: the recipe of its task and backbone.",
            autocompletion=completion.recipes,
        ),
    ] = None,
    set_: UseOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
) -> None:
    """Write a T5 or a trained adapter in the format of another program, in float32.

    A T5 of Hugging Face's becomes a KerasHub preset, and a preset Hugging Face's, where no format
    is named; what is written is read again and has the same fingerprint. A run becomes a preset,
    its adapter folded in. What is linear can be folded: full, said, lora, ia3, lphm, krona, and
    whatever a method trains of the backbone itself. That is loaded again, too, and its logits are
    compared with the run's on its validation rows.

    Another program's adapter becomes a run that evaluate and predict take: what it answers and its
    backbone come from --recipe or --set, its method out of its own files.

    Example: compacter convert runs/demo/sentiment/lora/mine my_t5
    """
    from compacter_cli.commands.console import load_frameworks, print_json
    from compacter_cli.commands.convert_source import find_source, recipe_for, target_of
    from compacter_cli.commands.convert_words import show, show_backbone
    from compacter_cli.t5.preset_places import check_preset

    source = find_source(from_, which)
    to, _ = target_of(source, to)
    check_directory(directory)
    used = recipe_for(source, recipe, set_ or [])
    check_preset(used.backbone.preset if used else source.place, offline)
    load_frameworks(threads=threads)
    made = {"directory": directory, "to": to, "device": device}
    if used is None:
        found = convert_backbone(backbone=source.place, **made)
        print_json(found) if json_ else show_backbone(found)
    else:
        found = convert(adapter=source.place, recipe=used, **made)
        print_json(found) if json_ else show(found, used)


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
        adapter: directory of the adapter, of this program or another.
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
    from compacter_cli.commands.convert_source import Source, target_of
    from compacter_cli.exchange.formats import FORMATS, format_of
    from compacter_cli.files import new_directory, writing
    from compacter_cli.t5.runtime import on_device

    adapter, directory = Path(adapter), Path(directory)
    source = Source(format_of(adapter) or "compacter", str(adapter))
    _, form = target_of(source, to)
    check_directory(directory)
    section = recipe.backbone.model_copy(update={"precision": "float32"})
    recipe = recipe.model_copy(update={"backbone": section})
    with on_device(device):
        read = partial(_trained, FORMATS[source.format], adapter, recipe)
        with writing(directory), new_directory(directory) as fresh:
            written = _write(form, read, fresh)
    return {
        "to": to,
        "directory": str(directory),
        "adapter": str(adapter),
        "task": recipe.task,
        "method": recipe.method.name,
        "prefix": recipe.data.prefix,
        **written,
    }


def _trained(form: Format, adapter: Path, recipe: Recipe) -> Trained:
    from compacter_cli.adapters.restoring import backbone_of
    from compacter_cli.exchange.trained import Trained

    assert form.read_adapter is not None
    backbone = backbone_of(recipe)
    model = form.read_adapter(adapter, recipe, backbone)
    return Trained(model, backbone, recipe, form.origin(adapter) if form.origin else None)


def _write(form: Format, read: Callable[[], Trained], fresh: Path) -> Written:
    """Folded into a T5 where the format is one of backbones, else as an adapter."""
    from compacter_cli.exchange.folding import write_folded

    if form.write_backbone is not None:
        return {**write_folded(read, fresh, form.write_backbone)}
    assert form.write_adapter is not None
    return {**form.write_adapter(read(), fresh)}


def convert_backbone(
    *, backbone: str, directory: Path | str, to: str, device: str | None = None
) -> ConvertedBackbone:
    """Write a T5 in another program's format, in float32, and read it again.

    Args:
        backbone: what `backbone.preset` may be.
        directory: a new or an empty one; on an error it is left as it was.
        to: one of `FORMATS` that hold backbones.
        device: "cpu" or "cuda"; a GPU where there is one.

    Raises:
        UsageError: the format holds no backbone, or the directory cannot be taken.
        MissingResourceError: the backbone is not there.
        CompacterError: it is damaged, or cannot be written.
    """
    from compacter_cli.exchange.formats import format_named
    from compacter_cli.exchange.rewriting import write_again
    from compacter_cli.t5.runtime import on_device

    directory = Path(directory)
    write = format_named(to).write_backbone
    if write is None:
        raise UsageError(f"--to {to} holds adapters: {backbone} is a T5", "choose another --to")
    check_directory(directory)
    with on_device(device):
        written = write_again(backbone, directory, write)
    return {"to": to, "directory": str(directory), "backbone": backbone, **written}


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

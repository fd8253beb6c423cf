"""Options that several commands share."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from compacter_cli.commands import completion
from compacter_cli.errors import UsageError

RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        "-r",
        help="Path of a recipe, or a shipped name (recipes list).",
        autocompletion=completion.recipes,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="Change a value: section.key=value, read as TOML. Repeatable."),
]

# A method's sizes, as options are called, and its own fields; each method takes what it has.
SIZES = {"n": "n", "d": "bottleneck", "rank": "rank", "length": "length", "dim": "intrinsic_dim"}


def parts(values: Sequence[str] | None) -> list[str] | None:
    """What an option of several values was given: repeated, with commas between, or both."""
    if not values:
        return None
    return [part.strip() for value in values for part in value.split(",")]


def whole_numbers(option: str, values: Sequence[str] | None) -> list[int] | None:
    """The numbers that such an option was given.

    Raises:
        UsageError: one of them is none.
    """
    try:
        return [int(part) for part in found] if (found := parts(values)) else None
    except ValueError:
        raise UsageError(
            f"{option} {','.join(values or ())}: expected whole numbers, commas between several",
            f"such as {option} 4,8,12",
        ) from None


_DEVICE = re.compile("cpu|cuda(:[0-9]{1,3})?")


def _check_device(name: str | None) -> str | None:
    """Refuse what names no device, without torch, which alone knows whether there is this one."""
    if name is not None and not _DEVICE.fullmatch(name):
        raise UsageError(
            f"--device {name}: expected cpu or cuda, or one of several GPUs as cuda:1",
            "leave --device out to take what is there",
        )
    return name


DeviceOption = Annotated[
    str | None,
    typer.Option("--device", help="cpu or cuda; a GPU where there is one.", callback=_check_device),
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads; torch's own choice.")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size", min=1, help="Texts computed at once; same as --set train.eval_batch_size=N."
    ),
]
EstimateOption = Annotated[
    bool, typer.Option("--estimate/--no-estimate", help="Measure steps for the dry run.")
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Fetch nothing: only what is on this disk.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to stdout and nothing else.")]
RunOption = Annotated[
    Path,
    typer.Option(
        "--run",
        help="Run directory, as train printed it.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
UseOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Change where backbone or rows are, or how it is computed, such as backbone.preset, "
        "backbone.precision, data.folder, train.eval_batch_size. Repeatable.",
    ),
]
SplitName = Literal["test", "validation", "train"]
WhichOption = Annotated[
    str, typer.Option("--which", help="Which of the run's adapters: best or last.")
]


def _renamed(value: str | None) -> None:
    if value is not None:
        raise UsageError("--adapter is called --which now", f"--which {value}")


FormerWhichOption = Annotated[str | None, typer.Option("--adapter", hidden=True, callback=_renamed)]


def use_of(set_: Sequence[str] | None, batch_size: int | None) -> list[str]:
    """The `--set` values of a use of an adapter, `--batch-size` among them."""
    size = [] if batch_size is None else [f"train.eval_batch_size={batch_size}"]
    return [*(set_ or ()), *size]

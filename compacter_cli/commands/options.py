"""Options that several commands share: one name, one word for its value, one sentence each.

Every command has them in this order: what is meant, where it is read from, where it is written to,
how it is computed, and what machines read.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from compacter_cli.commands import completion
from compacter_cli.errors import UsageError

NUMBERS = "N[,...]"
SETTING = "SECTION.KEY=VALUE"


def parts(values: Sequence[str] | None) -> list[str] | None:
    """What an option of several values was given: repeated, with commas between, or both."""
    if not values:
        return None
    return [part.strip() for value in values for part in value.split(",")]


RecipeOption = Annotated[
    str,
    typer.Option(
        "--recipe",
        "-r",
        metavar="RECIPE",
        help="Path of a recipe, or a shipped name (recipes list).",
        autocompletion=completion.recipes,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar=SETTING,
        help="Change a value of the recipe, read as TOML. Repeatable.",
        autocompletion=completion.settings,
    ),
]
UseOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar=SETTING,
        help="Change where backbone or rows are, or how it is computed, such as backbone.preset, "
        "backbone.precision, data.folder, train.eval_batch_size. Repeatable.",
        autocompletion=completion.uses,
    ),
]
MethodsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="METHOD",
        help="Only this method, or several with commas. Repeatable.",
        callback=parts,
        autocompletion=completion.methods,
    ),
]


def tasks_option(help_: str) -> Any:
    """`--task` of several tasks."""
    return typer.Option(
        "--task",
        metavar="TASK",
        help=f"{help_}, or several with commas. Repeatable.",
        callback=parts,
        autocompletion=completion.tasks,
    )


_run = typer.Option(
    "--run",
    metavar="RUN",
    help="Run directory, as train printed it.",
    show_default=False,
    autocompletion=completion.runs,
)
RunOption = Annotated[Path, _run]
RunOrNoneOption = Annotated[Path | None, _run]
SplitName = Literal["test", "validation", "train"]
WhichOption = Annotated[
    str,
    typer.Option(
        "--which",
        metavar="<best|last>",
        help="Which of the run's adapters.",
        autocompletion=completion.which,
    ),
]


def adapters_option(help_: str) -> Any:
    """`--adapter` of several runs, each under a name."""
    return typer.Option(
        "--adapter",
        metavar="NAME=RUN",
        help=f"A run, and the name to ask it by{help_}. Repeatable.",
        autocompletion=completion.runs,
    )


def output_option(help_: str, metavar: str = "DIR", **more: Any) -> Any:
    """`--output`, which is where a command writes."""
    return typer.Option("--output", "-o", metavar=metavar, help=help_, **more)


def file_option(help_: str) -> Any:
    """`--file`, which holds rows."""
    return typer.Option("--file", metavar="FILE", help=help_)


ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with what is there unfinished, or begin it.")
]
OverwriteOption = Annotated[
    bool, typer.Option("--overwrite", help="Replace what the command wrote there earlier.")
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Check everything, print the plan and what it takes; train nothing."
    ),
]
EstimateOption = Annotated[
    bool, typer.Option("--estimate/--no-estimate", help="Measure steps for the dry run.")
]
BatchSizeOption = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        min=1,
        metavar="N",
        help="Examples computed at once; same as --set train.eval_batch_size=N.",
    ),
]

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
    typer.Option(
        "--device",
        metavar="<cpu|cuda>",
        help="A GPU where there is one, if left out.",
        callback=_check_device,
        autocompletion=completion.devices,
    ),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, metavar="N", help="CPU threads; torch's own choice."),
]
OfflineOption = Annotated[
    bool, typer.Option("--offline", help="Fetch nothing: only what is on this disk.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON to stdout and nothing else.")]


def renamed(former: str, now: Callable[[str], str]) -> Any:
    """A hidden option: an error that names the one that took its place.

    Args:
        former: its name.
        now: what is to be given instead of a value of it.
    """

    def refuse(value: str | None) -> None:
        if value is not None:
            option = now(value).partition(" ")[0]
            raise UsageError(f"{former} is called {option} now", now(value))

    return typer.Option(former, hidden=True, callback=refuse)


FormerWhichOption = Annotated[str | None, renamed("--adapter", lambda value: f"--which {value}")]

# A method's sizes, as options are called, and its own fields; each method takes what it has.
SIZES = {"n": "n", "d": "bottleneck", "rank": "rank", "length": "length", "dim": "intrinsic_dim"}


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


def given_again(threads: int | None, offline: bool = False, device: str | None = None) -> list[str]:
    """The options, as they were given, that a command which goes on is to be given again."""
    return [
        *([] if device is None else [f"--device {device}"]),
        *([] if threads is None else [f"--threads {threads}"]),
        *["--offline"] * offline,
    ]


def use_of(set_: Sequence[str] | None, batch_size: int | None) -> list[str]:
    """The `--set` values of a use of an adapter, `--batch-size` among them."""
    size = [] if batch_size is None else [f"train.eval_batch_size={batch_size}"]
    return [*(set_ or ()), *size]

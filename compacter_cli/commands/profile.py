"""`compacter profile`: what a training step of each method takes, in time and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from compacter_cli.commands import completion
from compacter_cli.commands.options import (
    DeviceOption,
    JsonOption,
    MethodsOption,
    SetOption,
    ThreadsOption,
    renamed,
)
from compacter_cli.profiling.request import ProfileRequest

if TYPE_CHECKING:
    from compacter_cli.profiling.rows import Profile


def command(
    method: MethodsOption = None,
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone",
            metavar="BACKBONE",
            help="KerasHub name or preset directory, whose dimensions are taken.",
            autocompletion=completion.backbones,
        ),
    ] = ProfileRequest.backbone,
    source: Annotated[
        int, typer.Option("--source", min=1, metavar="N", help="Tokens of a source.")
    ] = ProfileRequest.source,
    target: Annotated[
        int, typer.Option("--target", min=1, metavar="N", help="Tokens of a target.")
    ] = ProfileRequest.target,
    steps: Annotated[
        int, typer.Option("--steps", min=1, metavar="N", help="Training steps timed.")
    ] = ProfileRequest.steps,
    memory_budget: Annotated[
        str | None,
        typer.Option(
            "--memory-budget",
            metavar="SIZE",
            help="Find the largest batch within it, such as 24GB.",
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            metavar="TASK",
            help="Time an epoch of it, too; --set data.folder=... as in train.",
            autocompletion=completion.tasks,
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option(
            "--vocabulary",
            metavar="DIR",
            help="Preset directory with the vocabulary for --task.",
        ),
    ] = None,
    set_: SetOption = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw memory against time as PNG."),
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, metavar="N", help="Examples of a step.")
    ] = ProfileRequest.batch,
    precision: Annotated[
        Literal["float32", "bfloat16"], typer.Option("--precision", help="Of the computation.")
    ] = "float32",
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    json_: JsonOption = False,
    _former: Annotated[
        str | None, renamed("--batch", lambda value: f"--batch-size {value}")
    ] = None,
) -> None:
    """Measure training steps of the methods, on random weights, against full fine-tuning.

    Example: compacter profile --method full --method compacterpp --backbone t5_small_multi
    """
    from compacter_cli.commands.console import err, print_json
    from compacter_cli.commands.profile_tables import measured_line
    from compacter_cli.errors import CompacterError
    from compacter_cli.profiling.comparison import Stopped, compare
    from compacter_cli.profiling.limits import parse_size
    from compacter_cli.profiling.plot import check_plot, save_plot

    if plot:
        check_plot(plot)
    request = ProfileRequest(
        methods=tuple(method or ()),
        backbone=backbone,
        batch=batch_size,
        source=source,
        target=target,
        precision=precision,
        device=device,
        threads=threads,
        steps=steps,
        task=task,
        vocabulary=vocabulary,
        memory_budget=None if memory_budget is None else parse_size(memory_budget),
        overrides=tuple(set_ or ()),
    )
    stopped = None
    try:
        found = compare(request, say=err.say, measured=lambda row: err.say(measured_line(row)))
    except Stopped as error:
        found, stopped = error.profile, error
    print_json(found) if json_ else show(found)
    if stopped:
        raise stopped
    if all("failed" in row for row in found["methods"]):
        raise CompacterError("no method could be measured", "the reasons are above, a line each")
    if plot:
        save_plot(found, plot)
        err.say(f"drawn: {plot}")


def show(profile: Profile) -> None:
    """Print a profile: costs, deltas beside the paper's, and what the columns mean."""
    from compacter_cli.commands.aligned import print_aligned
    from compacter_cli.commands.console import out
    from compacter_cli.commands.profile_tables import COSTS, heading, legend, rows_of

    out.say(heading(profile))
    print_aligned(rows_of(profile), breaks=[COSTS])
    for line in legend(profile):
        out.say(line)

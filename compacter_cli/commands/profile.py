"""`compacter profile`: what a training step of each method takes, in time and in memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from compacter_cli.commands import completion
from compacter_cli.commands.options import DeviceOption, JsonOption, SetOption, parts
from compacter_cli.errors import UsageError
from compacter_cli.profiling.request import ProfileRequest

if TYPE_CHECKING:
    from compacter_cli.profiling.rows import Profile


def _former_batch(value: str | None) -> None:
    if value is not None:
        raise UsageError("--batch is called --batch-size now", f"--batch-size {value}")


def command(
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            help="A method, or several with commas. Repeatable; all by default.",
            callback=parts,
            autocompletion=completion.methods,
        ),
    ] = None,
    backbone: Annotated[
        str, typer.Option("--backbone", help="KerasHub name or preset directory: its dimensions.")
    ] = ProfileRequest.backbone,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Examples of a step.")
    ] = ProfileRequest.batch,
    _former: Annotated[
        str | None, typer.Option("--batch", hidden=True, callback=_former_batch)
    ] = None,
    source: Annotated[
        int, typer.Option("--source", min=1, help="Tokens of a source.")
    ] = ProfileRequest.source,
    target: Annotated[
        int, typer.Option("--target", min=1, help="Tokens of a target.")
    ] = ProfileRequest.target,
    precision: Annotated[
        Literal["float32", "bfloat16"], typer.Option("--precision", help="Of the computation.")
    ] = "float32",
    device: DeviceOption = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="CPU threads; torch's own choice.")
    ] = None,
    steps: Annotated[
        int, typer.Option("--steps", min=1, help="Training steps timed.")
    ] = ProfileRequest.steps,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            help="Time an epoch of it, too; --set data.folder=... as in train.",
            autocompletion=completion.tasks,
        ),
    ] = None,
    vocabulary: Annotated[
        str | None,
        typer.Option("--vocabulary", help="Preset directory with the vocabulary for --task."),
    ] = None,
    memory_budget: Annotated[
        str | None,
        typer.Option("--memory-budget", help="Find the largest batch within it, such as 24GB."),
    ] = None,
    set_: SetOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw memory against time as PNG.")
    ] = None,
    json_: JsonOption = False,
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

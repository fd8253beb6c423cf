"""`compacter data`: the published tasks' rows, as they are on this disk, and preparing them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from compacter_cli.commands.options import JsonOption, OfflineOption, tasks_option
from compacter_cli.commands.strict import Command
from compacter_cli.errors import UsageError, nearest_or_all

if TYPE_CHECKING:
    from compacter_cli.tasks.published import PublishedTask

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Prepare the published tasks and see what is there.",
)
TaskOption = Annotated[
    list[str] | None,
    tasks_option("Only this task (glue/rte) or benchmark (glue, super_glue)"),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="TFDS directory: TFDS_DATA_DIR or ~/tensorflow_datasets.",
    ),
]
FormerSourceOption = Annotated[Path | None, typer.Option(hidden=True)]


@app.command("status", cls=Command)
def status_command(
    task: TaskOption = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--folder",
            metavar="DIR",
            help="Check original files: holds glue/RTE/train.tsv and so on.",
        ),
    ] = None,
    archives: Annotated[
        Path | None,
        typer.Option(
            "--archives",
            metavar="PATH",
            help="Check original zips: holds glue/RTE.zip, super_glue/CB.zip, or is one.",
        ),
    ] = None,
    data_dir: DataDirOption = None,
    json_: JsonOption = False,
) -> None:
    """Show which of the fourteen tasks are prepared.

    With how many rows, and whether they are those that the tasks have.

    With --folder or --archives: which original files are there. Every row is read and checked; 1
    is the exit code where those of a task are not whole.

    Example: compacter data status --task glue
    """
    from compacter_cli.commands.console import print_json
    from compacter_cli.commands.data_status import (
        damaged,
        original_status,
        show_originals,
        show_status,
        status,
    )
    from compacter_cli.data.tfds_directory import tfds_root

    places = {"--folder": folder, "--archives": archives, "--data-dir": data_dir}
    given = [name for name, path in places.items() if path is not None]
    if len(given) > 1:
        raise UsageError(f"expected one place, got {' and '.join(given)}", "leave one of them out")
    tasks = chosen_tasks(task)
    if folder is None and archives is None:
        found = status(tasks=tasks, data_dir=data_dir)
        print_json(found) if json_ else show_status(found, tfds_root(data_dir))
    else:
        found = original_status(tasks=tasks, folder=folder, archives=archives)
        print_json(found) if json_ else show_originals(found, folder or archives)
        if damaged(found, tasks, zipped=folder is None):
            raise typer.Exit(1)


@app.command("prepare", cls=Command)
def prepare_command(
    task: TaskOption = None,
    prepared: Annotated[
        Path | None,
        typer.Option("--prepared", metavar="DIR", help="Another TFDS data directory to copy from."),
    ] = None,
    data_dir: DataDirOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
    folder: FormerSourceOption = None,
    archives: FormerSourceOption = None,
) -> None:
    """Prepare tasks as TFDS directories, checked.

    Without a source TFDS downloads them.

    Without --task: all fourteen, or those that the source holds. Original files are not prepared
    but read where they are: --set data.folder=DIR or data.archive=ZIP of a recipe.

    Example: compacter data prepare --task glue/rte
    """
    from compacter_cli.commands.console import err, print_json
    from compacter_cli.commands.data_prepare import prepare, show_prepared
    from compacter_cli.data.tfds_directory import INFO, tfds_root

    tasks = chosen_tasks(task)
    if place := folder or archives:
        raise _read_in_place(tasks, place, zipped=folder is None)
    if len(tasks) > 1 and prepared and (prepared / INFO).is_file():
        raise UsageError(f"{prepared} is one task's directory", "name the task with --task")
    found, failed = prepare(
        tasks=tasks,
        source=prepared,
        data_dir=data_dir,
        offline=offline,
        all_must=task is not None,
        say=lambda line: None if json_ else err.say(line),
    )
    print_json(found) if json_ else show_prepared(found, tfds_root(data_dir))
    if failed:
        raise typer.Exit(max(error.exit_code for error in failed))


def _read_in_place(tasks: Sequence[PublishedTask], place: Path, zipped: bool) -> UsageError:
    """That original files are not prepared, and how they are named instead."""
    from compacter_cli.commands.data_status import archive_in

    option, value = "--folder", f"data.folder={place}"
    if zipped:
        archive = next((archive_in(task, place) for task in tasks if task.original.archive), place)
        option, value = "--archives", f"data.archive={archive}"
    return UsageError(
        f"{option}: original files are read where they are, and not prepared",
        f"give --set {shlex.quote(value)} wherever there is a recipe; compacter data status "
        f"{option} {shlex.quote(str(place))} checks them",
    )


def chosen_tasks(names: Sequence[str] | None) -> list[PublishedTask]:
    """The published tasks that `names` name, whole benchmarks too; all of them for none.

    Raises:
        UsageError: a name is neither.
    """
    from compacter_cli.tasks import PUBLISHED

    known = {task.name: task for task in PUBLISHED}
    chosen: dict[str, PublishedTask] = {}
    for name in names or known:
        matching = {k: v for k, v in known.items() if name in (k, k.partition("/")[0])}
        if not matching:
            raise UsageError(f'no published task "{name}"', nearest_or_all(name, known))
        chosen |= matching
    return list(chosen.values())

"""`compacter data`: prepare the published tasks' rows, and see what is prepared."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from compacter_cli.commands.console import err, out, print_json, show_error, show_note, table_of
from compacter_cli.commands.options import JsonOption, OfflineOption
from compacter_cli.data.tfds_directory import (
    INFO,
    check_prepared,
    prepared_directory,
    receipt_of,
    tfds_root,
)
from compacter_cli.errors import CompacterError, MissingResourceError, UsageError, did_you_mean
from compacter_cli.tasks import PUBLISHED

app = typer.Typer(no_args_is_help=True, help="Prepare the published tasks and see what is there.")
TaskOption = Annotated[
    list[str] | None,
    typer.Option("--task", help="A task (glue/rte) or a benchmark (glue, super_glue). Repeatable."),
]
DataDirOption = Annotated[
    Path | None,
    typer.Option("--data-dir", help="TFDS directory: TFDS_DATA_DIR or ~/tensorflow_datasets."),
]


@app.command("status")
def status_command(
    task: TaskOption = None, data_dir: DataDirOption = None, json_: JsonOption = False
):
    """Show which of the fourteen tasks are prepared, and with how many rows.

    Example: compacter data status --task glue
    """
    found = status(tasks=chosen_tasks(task), data_dir=data_dir)
    print_json(found) if json_ else show_status(found, tfds_root(data_dir))


@app.command("prepare")
def prepare_command(
    task: TaskOption = None,
    folder: Annotated[
        Path | None,
        typer.Option("--folder", help="Original files: holds glue/RTE/train.tsv and so on."),
    ] = None,
    archives: Annotated[
        Path | None,
        typer.Option(
            "--archives", help="Original zips: holds glue/RTE.zip, super_glue/CB.zip, or is one."
        ),
    ] = None,
    prepared: Annotated[
        Path | None, typer.Option("--prepared", help="Another TFDS data directory to copy from.")
    ] = None,
    data_dir: DataDirOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
):
    """Prepare tasks as TFDS directories, checked; without a source TFDS downloads them.

    Without --task: all fourteen, or those that the source holds.

    Example: compacter data prepare --task glue/rte --folder my_glue
    """
    sources = {"--folder": folder, "--archives": archives, "--prepared": prepared}
    given = {name: path for name, path in sources.items() if path is not None}
    if len(given) > 1:
        raise UsageError(f"expected one source, got {' and '.join(given)}", "leave one of them out")
    tasks = chosen_tasks(task)
    if len(tasks) > 1:
        _check_many(archives, prepared)
    found, failed = prepare(
        tasks=tasks,
        source=next(iter(given.items()), None),
        data_dir=data_dir,
        offline=offline,
        all_must=task is not None,
        say=(lambda line: None) if json_ else partial(err.print, style="dim", soft_wrap=True),
    )
    print_json(found) if json_ else show_prepared(found, tfds_root(data_dir))
    if failed:
        raise typer.Exit(max(error.exit_code for error in failed))


def _check_many(archives, prepared):
    """Raise `UsageError` where a source is of one task, but several are to be prepared."""
    if archives and archives.is_file():
        raise UsageError(f"{archives} is one task's zip", "name the task with --task")
    if prepared and (prepared / INFO).is_file():
        raise UsageError(f"{prepared} is one task's directory", "name the task with --task")


def chosen_tasks(names):
    """The published tasks that `names` name, whole benchmarks too; all of them for none.

    Raises:
        UsageError: a name is neither.
    """
    known = {task.name: task for task in PUBLISHED}
    chosen = {}
    for name in names or known:
        matching = {k: v for k, v in known.items() if name in (k, k.partition("/")[0])}
        if not matching:
            hint = did_you_mean(name, known) or f"known: {', '.join(known)}"
            raise UsageError(f'no published task "{name}"', hint)
        chosen |= matching
    return list(chosen.values())


def status(*, tasks, data_dir=None):
    """What is prepared, as plain data, a dict a task; needs no framework.

    A task's `state` is "prepared", "missing", or what is wrong with its directory.
    """
    return [_status_of(task, tfds_root(data_dir)) for task in tasks]


def _status_of(task, root):
    found = {"task": task.name, "expected": task.rows, "rows": None, "path": None, "from": None}
    try:
        directory = prepared_directory(task, root)
        if directory is None:
            return {**found, "state": "missing"}
        counts = check_prepared(task, directory)
    except CompacterError as error:
        return {**found, "state": str(error)}
    return {
        **found,
        "state": "prepared",
        "rows": counts,
        "path": str(directory),
        "from": receipt_of(directory).get("way", "tfds"),
    }


def prepare(*, tasks, source=None, data_dir=None, offline=False, all_must=True, say=print):
    """Prepare tasks below a TFDS data directory.

    Args:
        tasks: the `PublishedTask`s.
        source: `None` for a download, or (`--folder`, `--archives` or `--prepared`, its path).
        data_dir: TFDS data directory; its own default where left out.
        offline: bool. Fetch nothing.
        all_must: bool. Count a task that the source does not hold as failed; else skip it.
        say: called with a line before each task that takes a while.

    Returns:
        `(a dict a task, the errors)`; one task's failure does not keep the others from it.

    Raises:
        MissingResourceError: the source holds none of the tasks.
    """
    root, found, failed = tfds_root(data_dir), [], []
    for task in tasks:
        try:
            outcome = _prepare_one(task, root, source, offline, say)
        except CompacterError as error:
            absent = isinstance(error, MissingResourceError)
            if absent and source is not None and not all_must:
                continue
            if not (absent and source is None and failed):  # no network: said once for all
                show_error(error)
            failed.append(error)
            outcome = {"outcome": "failed", "error": str(error)}
        found.append({"task": task.name, **outcome})
    if not found:
        raise MissingResourceError(
            f"{source[1]} holds the files of no task",
            "--folder holds glue/RTE/train.tsv, --archives glue/RTE.zip, --prepared glue/rte/2.0.0",
        )
    return found, failed


def _prepare_one(task, root, source, offline, say):
    from compacter_cli.data import tfds_preparation as preparing

    kind, place = source or (None, None)
    there, made = prepared_directory(task, root), False
    if there is None or kind:  # a source that is not there is an error in either case
        make = _maker(task, root, kind, place, offline)
    if there is None:
        say(f"preparing {task.name} ...")
        there, made = make(preparing)
    counts = check_prepared(task, there)
    receipt = receipt_of(there)
    if receipt.get("published") is False:
        show_note(
            f"{task.name}: the files are not byte for byte the published ones, but all rows and "
            f"labels are as many and of the kind that they should be"
        )
    outcome = "prepared" if made else "was prepared already"
    return {"outcome": outcome, "rows": counts, "path": str(there), "receipt": receipt}


def _maker(task, root, kind, place, offline):
    """A function that prepares the task, once it is sure that its source is there."""
    from compacter_cli.data import original_files as originals
    from compacter_cli.data.sources import check_download

    if kind == "--folder":
        originals.original_files(task, place)
        opened = partial(originals.opened_folder, task, place)
    elif kind == "--archives":
        path = originals.existing_archive(task, _archive_in(task, place))
        opened = partial(originals.opened_archive, task, path)
    elif kind == "--prepared":
        directory = prepared_directory(task, place)
        if directory is None:
            raise MissingResourceError(
                f"{task.name} is not prepared in {place}",
                f"it would be in {place / task.original.tfds.replace(':', '/')}",
            )
        return lambda preparing: preparing.copy_prepared(task, root, directory)
    else:
        check_download(task, root, offline)
        return lambda preparing: preparing.download(task, root)
    return lambda preparing: preparing.prepare(task, root, opened)


def _archive_in(task, place):
    """Path of a task's zip: `place` itself, or below its benchmark's folder (both have RTE.zip)."""
    if not place.is_dir() or task.original.archive is None:
        return place
    return place / task.original.benchmark / task.original.archive


def show_status(found, root):
    """Print which tasks are prepared, and the command for those that are not."""
    numbers = ("train", "validation")
    table = table_of("task", "state", *numbers, "from", numbers=numbers)
    for item in found:
        rows = {k: v for k, v in (item["rows"] or {}).items() if not k.startswith("test")}
        train = rows.pop("train", None)
        table.add_row(
            item["task"],
            item["state"],
            "-" if train is None else f"{train:,}",
            " + ".join(f"{count:,}" for count in rows.values()) or "-",
            item["from"] or "-",
        )
    out.print(f"in {root}:", soft_wrap=True)
    out.print(table)
    missing = [item["task"] for item in found if item["state"] == "missing"]
    if missing:
        out.print(
            f"\nnext: compacter data prepare --task {missing[0]} --data-dir {root}", soft_wrap=True
        )


def show_prepared(found, root):
    """Print what became of each task."""
    table = table_of("task", "outcome", "rows")
    for item in found:
        rows = ", ".join(f"{count:,} {split}" for split, count in item.get("rows", {}).items())
        table.add_row(item["task"], item["outcome"], rows or "-")
    out.print(table)
    out.print(f"\nnext: compacter data status --data-dir {root}", soft_wrap=True)

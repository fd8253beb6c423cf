"""What there is of the published tasks' rows: as prepared directories, or as original files."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.commands.console import out, show_note, table_of
from compacter_cli.data.original_files import (
    existing_archive,
    existing_files,
    rows_in_archive,
    rows_in_folder,
)
from compacter_cli.data.rows import Rows
from compacter_cli.data.tfds_directory import (
    check_prepared,
    prepared_directory,
    receipt_of,
    tfds_root,
)
from compacter_cli.errors import CompacterError, MissingResourceError, UsageError

if TYPE_CHECKING:
    from compacter_cli.tasks.published import PublishedTask

STATES = ("prepared", "whole", "missing")  # of a task with which nothing is wrong
NOT_PUBLISHED = (
    "{}: the files are not byte for byte the published ones, but all rows and labels are as many "
    "and of the kind that they should be"
)


# "from" is no name that a class could give a field.
_Place = TypedDict("_Place", {"from": str | None, "path": str | None})


class Status(_Place):
    """What there is of a task: `state` is "prepared", "whole", "missing", or what is wrong.

    `published` says of original files whether they are those that were published, where that is
    known.
    """

    task: str
    state: str
    expected: dict[str, int]
    rows: dict[str, int] | None
    published: NotRequired[bool]


def status(*, tasks: Sequence[PublishedTask], data_dir: Path | None = None) -> list[Status]:
    """What is prepared of each task; needs no framework."""
    return [_status_of(task, tfds_root(data_dir)) for task in tasks]


def _status_of(task: PublishedTask, root: Path) -> Status:
    found = _missing(task)
    try:
        directory = prepared_directory(task, root)
        if directory is None:
            return found
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


def _missing(task: PublishedTask) -> Status:
    return {
        "task": task.name,
        "state": "missing",
        "expected": task.rows,
        "rows": None,
        "path": None,
        "from": None,
    }


def original_status(
    *,
    tasks: Sequence[PublishedTask],
    folder: Path | None = None,
    archives: Path | None = None,
) -> list[Status]:
    """What there is of each task as original files; every row is read and checked.

    Args:
        tasks: the tasks.
        folder: holds glue/RTE/train.tsv and so on.
        archives: in place of a folder: holds glue/RTE.zip and so on, or is the zip of one task.

    Raises:
        UsageError: `archives` is one task's zip, but there are several tasks.
        MissingResourceError: there is nothing of any of the tasks.
    """
    if archives and archives.is_file() and len(tasks) > 1:
        raise UsageError(f"{archives} is one task's zip", "name the task with --task")
    places = {
        task.name: folder / task.original.place if folder else archive_in(task, archives or Path())
        for task in tasks
    }
    could_be = [task for task in tasks if folder or task.original.archive]
    if not any(places[task.name].exists() for task in could_be):
        raise MissingResourceError(
            f"{folder or archives} holds the files of no task",
            "--folder holds glue/RTE/train.tsv and so on, --archives glue/RTE.zip (MRPC was never "
            "zipped)",
        )
    return [_original_status_of(task, folder, places[task.name]) for task in tasks]


def _original_status_of(task: PublishedTask, folder: Path | None, place: Path) -> Status:
    found = _missing(task)
    if not place.exists():
        return found
    try:
        rows = _read_originals(task, folder, place)
    except CompacterError as error:
        return {**found, "state": str(error)}
    whole: Status = {
        **found,
        "state": "whole",
        "rows": rows.counts,
        "path": str(place),
        "from": rows.origin["way"],
    }
    if "published" in rows.origin:
        whole["published"] = rows.origin["published"]
    return whole


def _read_originals(task: PublishedTask, folder: Path | None, place: Path) -> Rows:
    if folder:
        return rows_in_folder(task, folder, existing_files(task, folder))
    return rows_in_archive(task, existing_archive(task, place))


def damaged(found: Sequence[Status], tasks: Sequence[PublishedTask], zipped: bool) -> bool:
    """Whether a task's originals are there but not whole; what was never zipped is in no zip."""
    could_be = {task.name for task in tasks if task.original.archive or not zipped}
    return any(item["state"] not in STATES and item["task"] in could_be for item in found)


def archive_in(task: PublishedTask, place: Path) -> Path:
    """Path of a task's zip: `place` itself, or below its benchmark's folder (both have RTE.zip)."""
    if not place.is_dir() or task.original.archive is None:
        return place
    return place / task.original.benchmark / task.original.archive


def show_status(found: Sequence[Status], root: Path) -> None:
    """Print which tasks are prepared, and the command for those that are not."""
    _show_table(found, root)
    missing = [item["task"] for item in found if item["state"] == "missing"]
    if missing:
        out.say(f"\nnext: compacter data prepare --task {missing[0]} --data-dir {root}")


def show_originals(found: Sequence[Status], place: Path | None) -> None:
    """Print which original files are there and whole, and how a recipe is told of them."""
    _show_table(found, place)
    for item in found:
        if item.get("published") is False:
            show_note(NOT_PUBLISHED.format(item["task"]))
    if whole := [item for item in found if item["state"] == "whole"]:
        zipped = whole[0]["from"] == "archive"
        value = f"data.archive={whole[0]['path']}" if zipped else f"data.folder={place}"
        out.say(f"\nnext: --set {shlex.quote(value)} with a recipe")


def _show_table(found: Sequence[Status], place: Path | None) -> None:
    numbers = ("train", "validation")
    table = table_of("task", "state", *numbers, "from", numbers=numbers)
    wrong = {item["task"]: item["state"] for item in found if item["state"] not in STATES}
    for item in found:
        rows = {k: v for k, v in (item["rows"] or {}).items() if not k.startswith("test")}
        train = rows.pop("train", None)
        table.add_row(
            item["task"],
            "not whole" if item["task"] in wrong else item["state"],
            "-" if train is None else f"{train:,}",
            " + ".join(f"{count:,}" for count in rows.values()) or "-",
            item["from"] or "-",
        )
    out.say(f"in {place}:")
    out.print(table)
    for task, said in wrong.items():
        out.say(f"{task}: {said}")

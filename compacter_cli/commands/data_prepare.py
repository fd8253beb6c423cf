"""Preparing the published tasks as TFDS directories, by a download or from a copy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.commands.console import out, show_error, show_note, table_of
from compacter_cli.commands.data_status import NOT_PUBLISHED
from compacter_cli.data.tfds_directory import (
    Receipt,
    check_prepared,
    counts_in,
    place_of,
    prepared_directory,
    receipt_of,
    tfds_root,
)
from compacter_cli.data.tfds_preparation import check_download, copy_prepared, download
from compacter_cli.errors import CompacterError, MissingResourceError

if TYPE_CHECKING:
    from compacter_cli.tasks.published import PublishedTask


class Outcome(TypedDict):
    """What became of a task that was to be prepared; all but `error` where it did not fail."""

    task: str
    outcome: str
    rows: NotRequired[dict[str, int]]
    path: NotRequired[str]
    receipt: NotRequired[Receipt]
    error: NotRequired[str]


class Preparation(NamedTuple):
    """What became of every task, and the errors of those that failed."""

    outcomes: list[Outcome]
    failed: list[CompacterError]


def prepare(
    *,
    tasks: Sequence[PublishedTask],
    source: Path | None = None,
    data_dir: Path | None = None,
    offline: bool = False,
    all_must: bool = True,
    say: Callable[[str], object] = print,
) -> Preparation:
    """Prepare tasks below a TFDS data directory; one task's failure does not keep others from it.

    Args:
        tasks: the tasks.
        source: another data directory to copy from; `None` for a download.
        data_dir: TFDS data directory; its own default where left out.
        offline: fetch nothing.
        all_must: count a task that the source does not hold as failed; else skip it.
        say: called with a line before each task that takes a while.

    Raises:
        MissingResourceError: the source holds none of the tasks.
    """
    found: list[Outcome] = []
    failed: list[CompacterError] = []
    for task in tasks:
        try:
            found.append(_prepare_one(task, tfds_root(data_dir), source, offline, say))
        except CompacterError as error:
            absent = isinstance(error, MissingResourceError)
            if absent and source is not None and not all_must:
                continue
            if not (absent and source is None and failed):  # no network: said once for all
                show_error(error)
            failed.append(error)
            found.append({"task": task.name, "outcome": "failed", "error": str(error)})
    if not found:
        raise MissingResourceError(
            f"{source} holds the files of no task", "--prepared holds glue/rte/2.0.0 and so on"
        )
    return Preparation(found, failed)


def _prepare_one(
    task: PublishedTask,
    root: Path,
    source: Path | None,
    offline: bool,
    say: Callable[[str], object],
) -> Outcome:
    there, made = prepared_directory(task, root), False
    if there is None or source:  # a source that is not there is an error in either case
        make = _maker(task, root, source, offline)
        if there is None:
            say(f"preparing {task.name} ...")
            there, made = make()
    counts = counts_in(there) if made else check_prepared(task, there)
    receipt = receipt_of(there)
    if receipt.get("published") is False:
        show_note(NOT_PUBLISHED.format(task.name))
    return {
        "task": task.name,
        "outcome": "prepared" if made else "was prepared already",
        "rows": counts,
        "path": str(there),
        "receipt": receipt,
    }


def _maker(
    task: PublishedTask, root: Path, source: Path | None, offline: bool
) -> Callable[[], tuple[Path, bool]]:
    """What prepares the task, once it is sure that its source is there."""
    if source is None:
        check_download(task, root, offline)
        return lambda: download(task, root)
    directory = prepared_directory(task, source)
    if directory is None:
        raise MissingResourceError(
            f"{task.name} is not prepared in {source}", f"it would be in {place_of(task, source)}"
        )
    return lambda: copy_prepared(task, root, directory)


def show_prepared(found: Sequence[Outcome], root: Path) -> None:
    """Print what became of each task."""
    table = table_of("task", "outcome", "rows")
    for item in found:
        rows = ", ".join(f"{count:,} {split}" for split, count in item.get("rows", {}).items())
        table.add_row(item["task"], item["outcome"], rows or "-")
    out.print(table)
    out.say(f"\nnext: compacter data status --data-dir {root}")

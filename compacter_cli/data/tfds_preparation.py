"""A published task prepared as a TFDS directory, from a download or a copy.

Nothing is ever half prepared: the directory is made and checked beside its place and moved there
whole, while a lock keeps other processes waiting.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compacter_cli.data.text_files import sha256_of
from compacter_cli.data.tfds_access import download_and_prepare
from compacter_cli.data.tfds_directory import (
    RECEIPT,
    Receipt,
    check_prepared,
    place_of,
    prepared_directory,
    receipt_of,
    rows_in,
)
from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.files import write_json
from compacter_cli.network import can_reach

if TYPE_CHECKING:
    from compacter_cli.tasks.published import OriginalFiles, PublishedTask


class Prepared(NamedTuple):
    """A prepared directory, and whether it was made now."""

    directory: Path
    made: bool


def check_download(task: PublishedTask, root: Path, offline: bool = False) -> None:
    """Say at once that a task, not prepared below `root`, cannot be downloaded either.

    Raises:
        MissingResourceError: with the other ways to come by the rows.
    """
    host = task.original.host
    if not offline and can_reach(host):
        return
    why = "--offline is given" if offline else f"{host} cannot be reached"
    raise MissingResourceError(
        f"{task.name} is not prepared in {root} and {why}", _ways_out(task.original)
    )


def _ways_out(original: OriginalFiles) -> str:
    archive = f"data.archive (the original {original.archive}), " if original.archive else ""
    return (
        "connect and run again, or take the rows from this disk: data.folder (holding "
        f"{original.place}/{original.needed[0]}), {archive}or data.data_dir (a prepared TFDS "
        "directory); compacter data status --folder or --archives checks original files"
    )


def download(task: PublishedTask, data_dir: Path) -> Prepared:
    """Prepare a task below `data_dir` by TFDS's download, if that is not done already.

    Raises:
        CompacterError: the download fails, is not what was published, or cannot be written.
    """

    def make(staging: Path) -> tuple[Path, Receipt]:
        downloads = data_dir / "downloads" / task.original.benchmark
        return _downloaded(task, staging, downloads), {"way": "download", "published": True}

    return _made_once(task, data_dir, make)


def copy_prepared(task: PublishedTask, data_dir: Path, source: Path) -> Prepared:
    """Copy a prepared directory (TFRECORD too) below `data_dir` after reading all of it.

    Raises:
        CompacterError: it is damaged or not what was published, or cannot be written.
    """

    def make(staging: Path) -> tuple[Path, Receipt]:
        rows_in(task, source)  # raises where it is damaged or not what was published
        directory = Path(shutil.copytree(source, place_of(task, staging)))
        return directory, receipt_of(directory) or {"way": "copy", "path": str(source)}

    return _made_once(task, data_dir, make)


def _downloaded(task: PublishedTask, staging: Path, downloads: Path) -> Path:
    try:
        return download_and_prepare(task, staging, downloads)
    except CompacterError:
        raise
    except Exception as error:  # requests' and TFDS' own kinds, checksums among them
        if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
            raise  # of this disk
        way = "data.archive with the zip" if task.original.archive else "data.folder with files"
        raise CompacterError(
            f"the download of {task.name} failed: {str(error).partition(chr(10))[0]}",
            f"run again, or use {way} downloaded by hand",
        ) from error


def _made_once(
    task: PublishedTask, data_dir: Path, make: Callable[[Path], tuple[Path, Receipt]]
) -> Prepared:
    """Let `make` build a directory in a staging folder and move it to its place, under a lock."""
    from filelock import FileLock

    name = f".compacter-{task.original.benchmark}-{task.original.folder}"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / f"{name}.lock"):
            if there := prepared_directory(task, data_dir):
                return Prepared(there, False)  # by another process, while this one waited
            staging = data_dir / f"{name}.staging"
            shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
            try:
                directory, receipt = make(staging)
                _sign(task, directory, receipt)
                return Prepared(_moved(directory, place_of(task, data_dir)), True)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise CompacterError(
            f"cannot prepare {task.name} in {data_dir}: {error.strerror or error}",
            "choose another directory: --data-dir, or data.data_dir in a recipe",
        ) from error


def _sign(task: PublishedTask, directory: Path, receipt: Receipt) -> None:
    """Check a directory and write down what it was made from, and the hash of every shard."""
    counts = check_prepared(task, directory)
    shards = {path.name: sha256_of(path) for path in sorted(directory.glob("*-*.*"))}
    rows = {split: counts[split] for split in task.rows}
    write_json(directory / RECEIPT, {**receipt, "rows": rows, "shards": shards})


def _moved(directory: Path, place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    return directory.rename(place)

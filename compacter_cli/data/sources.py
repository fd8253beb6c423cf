"""The rows of a task from where they are: own files, TFDS, original files, or made up.

Reading runs no TensorFlow operation. Original files go through the TFDS builder's own parser.
"""

from dataclasses import dataclass

from compacter_cli.data.original_files import (
    existing_archive,
    opened_archive,
    opened_folder,
    original_files,
    rows_of,
)
from compacter_cli.data.own_files import own_files, rows_from_own_files
from compacter_cli.data.tfds_directory import check_prepared, prepared_directory, rows_in, tfds_root
from compacter_cli.data.tfds_preparation import download
from compacter_cli.errors import MissingResourceError, user_path
from compacter_cli.network import can_reach
from compacter_cli.tasks.base import GeneratedTask
from compacter_cli.tasks.own import OwnTask


@dataclass(frozen=True)
class Rows:
    """Rows by split in their original order, and where they came from (for the run's record)."""

    splits: dict[str, list[dict]]
    origin: dict


def check_rows(task, section, offline=False):
    """Say at once, before a framework is imported, that a task's rows cannot be had.

    Raises:
        MissingResourceError: nothing is where `section` points, and nothing can be downloaded.
    """
    if isinstance(task, GeneratedTask):
        return
    if isinstance(task, OwnTask):
        own_files(section)
    elif section.folder is not None:
        original_files(task, user_path(section.folder))
    elif section.archive is not None:
        existing_archive(task, section.archive)
    elif directory := prepared_directory(task, section.data_dir):
        check_prepared(task, directory)
    else:
        check_download(task, section.data_dir, offline)


def check_download(task, data_dir, offline=False):
    """Say at once that a task, not prepared in `data_dir`, cannot be downloaded either.

    Raises:
        MissingResourceError: with the other ways to come by the rows.
    """
    host = task.original.host
    if not offline and can_reach(host):
        return
    why = "--offline is given" if offline else f"{host} cannot be reached"
    raise MissingResourceError(
        f"{task.name} is not prepared in {tfds_root(data_dir)} and {why}", _ways_out(task)
    )


def load_rows(task, section, offline=False):
    """The `Rows` of `task` from where the recipe's data `section` points.

    Raises:
        MissingResourceError: the rows are nowhere and cannot be downloaded.
        CompacterError: a file is damaged, a row is missing, or a label is none of the task's.
    """
    if isinstance(task, GeneratedTask):
        found = task.generate(), {"way": "generated"}
    elif isinstance(task, OwnTask):
        found = rows_from_own_files(task, section)
    elif section.folder is not None:
        found = rows_of(task, opened_folder(task, user_path(section.folder)))
    elif section.archive is not None:
        found = rows_of(task, opened_archive(task, existing_archive(task, section.archive)))
    elif directory := prepared_directory(task, section.data_dir):
        check_prepared(task, directory)
        found = rows_in(task, directory)
    else:
        check_download(task, section.data_dir, offline)
        directory, _ = download(task, tfds_root(section.data_dir))
        found = rows_in(task, directory)
    return Rows(*found)


def split_sizes(task, section):
    """Rows that train, validate and test, found without a framework.

    Raises:
        CompacterError: a file of one's own cannot be read.
    """
    if isinstance(task, OwnTask):
        splits, _ = rows_from_own_files(task, section)
        return task.split.sizes({split: len(rows) for split, rows in splits.items()})
    return task.split.sizes(task.rows)


def _ways_out(task):
    original = task.original
    archive = f"data.archive (the original {original.archive}), " if original.archive else ""
    return (
        "connect and run again, or take the rows from this disk: data.folder (holding "
        f"{original.benchmark}/{original.folder}/{original.needed[0]}), {archive}or data.data_dir "
        "(a prepared TFDS directory); compacter data prepare has --folder, --archives, --prepared"
    )

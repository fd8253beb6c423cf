"""The rows of a task from where they are: TFDS, original files, an original zip, or made up.

Reading runs no TensorFlow operation. Original files go through the TFDS builder's own parser.
"""

from dataclasses import dataclass

from compacter_cli.errors import CompacterError, MissingResourceError, user_path
from compacter_cli.network import can_reach
from compacter_cli.original_files import (
    existing_archive,
    original_files,
    rows_from_archive,
    rows_from_folder,
)
from compacter_cli.prepared import prepared_directory, rows_from_tfds, tfds_root
from compacter_cli.tasks.base import GeneratedTask


@dataclass(frozen=True)
class Rows:
    """Rows by split in their original order, and where they came from (for the run's record)."""

    splits: dict[str, list[dict]]
    origin: dict


def check_available(task, section, offline=False):
    """Say at once, before a framework is imported, that a task's rows cannot be had.

    Raises:
        MissingResourceError: nothing is where `section` points, and nothing can be downloaded.
    """
    if isinstance(task, GeneratedTask):
        return
    if section.folder is not None:
        original_files(task, user_path(section.folder))
    elif section.archive is not None:
        existing_archive(section.archive)
    elif prepared_directory(task, section.data_dir) is None:
        _check_download(task, section, offline)


def _check_download(task, section, offline):
    host = task.original.host
    if not offline and can_reach(host):
        return
    why = "--offline is given" if offline else f"{host} cannot be reached"
    raise MissingResourceError(
        f"{task.name} is not prepared in {tfds_root(section.data_dir)} and {why}", _ways_out(task)
    )


def load_rows(task, section, offline=False):
    """The `Rows` of `task` from where the recipe's data `section` points.

    Raises:
        MissingResourceError: the rows are nowhere and cannot be downloaded.
        CompacterError: a file is damaged, a row is missing, or a label is none of the task's.
    """
    check_available(task, section, offline)
    if isinstance(task, GeneratedTask):
        found = task.generate(), {"way": "generated"}
    elif section.folder is not None:
        found = rows_from_folder(task, user_path(section.folder))
    elif section.archive is not None:
        found = rows_from_archive(task, existing_archive(section.archive))
    else:
        found = rows_from_tfds(task, section.data_dir)
    rows = Rows(*found)
    _check_rows(task, rows)
    return rows


def _ways_out(task):
    benchmark = task.original.benchmark
    first = next(iter(task.original.files.values()))
    return (
        f"connect and run again, or point data.data_dir at a prepared TFDS directory, "
        f"data.archive at the original {task.original.archive}, or data.folder at a folder "
        f"holding {benchmark}/{task.original.folder}/{first}"
    )


def _check_rows(task, rows):
    for split, expected in task.rows.items():
        found = rows.splits[split]
        where = f"{task.name} {split} ({rows.origin.get('path', rows.origin['way'])})"
        if len(found) != expected:
            raise CompacterError(
                f"{where}: expected {expected:,} rows, got {len(found):,}{_gap(found)}",
                "compare the file with the original; a row without all its columns is not read",
            )
        odd = next((row for row in found if row["label"] not in range(len(task.labels))), None)
        if odd:
            why = "; is the label column missing?" if odd["label"] == -1 else ""
            raise CompacterError(
                f"{where}: row {odd['idx']} has the label {odd['label']!r}, "
                f"expected 0 to {len(task.labels) - 1}{why}"
            )


def _gap(found):
    """Where the rows' numbers first skip one, for a message; a lost line leaves no gap."""
    for place, row in enumerate(found):
        if row["idx"] != place:
            return f"; the first row missing is number {place}"
    return ""

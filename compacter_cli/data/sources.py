"""The rows of a task from where they are: own files, TFDS, original files, or made up.

A source is found, and looked over, before a framework is imported; its rows are read when they are
needed. Reading runs no TensorFlow operation, and nothing of TFDS where the files are originals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.data.original_files import (
    existing_archive,
    existing_files,
    rows_in_archive,
    rows_in_folder,
)
from compacter_cli.data.own_files import own_files, rows_from_own_files
from compacter_cli.data.rows import Rows
from compacter_cli.data.tfds_directory import check_prepared, prepared_directory, rows_in, tfds_root
from compacter_cli.data.tfds_preparation import check_download, download
from compacter_cli.errors import user_path
from compacter_cli.recipe.sections import DataSection, OwnDataSection
from compacter_cli.tasks.base import GeneratedTask
from compacter_cli.tasks.own import OwnTask
from compacter_cli.tasks.published import PublishedTask

if TYPE_CHECKING:
    from compacter_cli.recipe.sections import ExamplesSection
    from compacter_cli.tasks.base import Task


@dataclass(frozen=True)
class RowSource:
    """Where the rows of a task are: found and looked over, not yet read.

    Attributes:
        load: reads the rows. Raises `CompacterError` where a file is damaged, a row is missing, or
            a label is none of the task's.
    """

    load: Callable[[], Rows]


def find_rows(task: Task, section: ExamplesSection, offline: bool = False) -> RowSource:
    """Where the rows of `task` are by a recipe's data `section`; needs no framework.

    Prepared directories are looked over here: their counts, their shards, the hashes of those.

    Raises:
        MissingResourceError: nothing is where `section` points, and nothing can be downloaded.
        CompacterError: a prepared directory is damaged.
    """
    if isinstance(task, GeneratedTask):
        return RowSource(lambda: Rows(task.generate(), {"way": "generated"}))
    if isinstance(task, OwnTask) and isinstance(section, OwnDataSection):
        return RowSource(partial(rows_from_own_files, task, own_files(section), section.seed))
    if isinstance(task, PublishedTask) and isinstance(section, DataSection):
        return RowSource(_published(task, section, offline))
    raise TypeError(f"{type(section).__name__} says nothing of where {task.name} is")


def _published(task: PublishedTask, section: DataSection, offline: bool) -> Callable[[], Rows]:
    if section.folder is not None:
        folder = user_path(section.folder)
        return partial(rows_in_folder, task, folder, existing_files(task, folder))
    if section.archive is not None:
        return partial(rows_in_archive, task, existing_archive(task, section.archive))
    if directory := prepared_directory(task, section.data_dir):
        check_prepared(task, directory)
        return partial(rows_in, task, directory)
    root = tfds_root(section.data_dir)
    check_download(task, root, offline)
    return partial(_downloaded, task, root)


def _downloaded(task: PublishedTask, root: Path) -> Rows:
    return rows_in(task, download(task, root).directory)


def load_rows(task: Task, section: ExamplesSection, offline: bool = False) -> Rows:
    """The rows of `task` from where the recipe's data `section` points.

    Raises:
        MissingResourceError: the rows are nowhere and cannot be downloaded.
        CompacterError: a file is damaged, a row is missing, or a label is none of the task's.
    """
    return find_rows(task, section, offline).load()


def split_sizes(task: Task, section: ExamplesSection) -> dict[str, int]:
    """Rows that train, validate and test; found without a framework but where groups stay together.

    Raises:
        CompacterError: a file of one's own cannot be read.
    """
    if isinstance(task, OwnTask):
        return task.split.sizes_of(load_rows(task, section).splits, section.seed)
    return task.split.sizes(task.rows)

"""The rows of a recipe's own files, each checked, with the line of what is wrong."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.data.row_file import RowFile
from compacter_cli.data.rows import Rows
from compacter_cli.data.text_files import sha256_of
from compacter_cli.errors import CompacterError, MissingResourceError, user_path

if TYPE_CHECKING:
    from compacter_cli.recipe.sections import OwnDataSection
    from compacter_cli.tasks.base import Row
    from compacter_cli.tasks.own import OwnTask


def own_files(section: OwnDataSection) -> dict[str, Path]:
    """Path of every split that the data section names a file for.

    Raises:
        MissingResourceError: one of them is not there.
    """
    named = {split: getattr(section, split) for split in ("train", "validation", "test")}
    files = {split: user_path(name) for split, name in named.items() if name is not None}
    for split, path in files.items():
        if not os.path.isfile(path):  # nor of a name too long for a file, where Path's own fails
            raise MissingResourceError(
                f"data.{split}: there is no file {path}",
                "a path is taken from the directory in which compacter runs",
            )
    return files


def rows_from_own_files(task: OwnTask, files: dict[str, Path]) -> Rows:
    """The rows of a recipe's own files, which `own_files` found: checked, and not kept.

    Raises:
        CompacterError: a row lacks a column, or its target is no label, or there are too few.
    """
    splits = {split: _read(task, path) for split, path in files.items()}
    sizes = task.split.sizes({split: len(rows) for split, rows in splits.items()})
    for split, size in sizes.items():
        if size < 1:
            divided = (
                files["train"] if split == "train" else files.get("validation", files["train"])
            )
            raise CompacterError(
                f"{divided}: too few rows to divide; {split} would have none",
                f"give more rows, or a file of its own for {split}",
            )
    hashes = {split: sha256_of(path) for split, path in files.items()}
    return Rows(splits, {"way": "own files", "path": str(files["train"]), "sha256": hashes})


def _read(task: OwnTask, path: Path) -> RowFile:
    def check(number: int, row: Row) -> None:
        if problem := task.problem(row):
            raise CompacterError(
                f"{path}, line {number}: the row {problem}",
                "mend the line, or data.target and data.labels",
            )

    needed = dict.fromkeys((*task.fields, *task.target_fields))
    return RowFile.read(path, task.name, needed, check)

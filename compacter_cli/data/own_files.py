"""The rows of a recipe's own files, each checked, with the line of what is wrong."""

from __future__ import annotations

import os
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.data.row_file import RowFile
from compacter_cli.data.rows import Origin, Rows
from compacter_cli.data.text_files import sha256_of
from compacter_cli.data.text_rows import read_rows
from compacter_cli.errors import (
    CompacterError,
    MissingResourceError,
    did_you_mean,
    excerpt,
    nearest,
    user_path,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
                f"name it by --set data.{split}=FILE; a path is taken from the directory in which "
                "compacter runs",
            )
    return files


def rows_from_own_files(task: OwnTask, files: dict[str, Path], seed: int) -> Rows:
    """The rows of a recipe's own files, which `own_files` found: checked, and not kept.

    Raises:
        CompacterError: a row lacks a column, or its target is no label, or there are too few to
            be divided by the data `seed`.
    """
    blank: Counter[str] = Counter()
    splits = {split: _read(task, path, split, blank) for split, path in files.items()}
    for split, size in task.split.sizes_of(splits, seed).items():
        if size < 1:
            training = split == "train"  # of which validation rows are held out
            divided = files["train"] if training else files.get("validation", files["train"])
            raise CompacterError(
                f"{divided}: too few rows to divide; {split} would have none",
                f"give more rows, or a file of its own for {'validation' if training else split}"
                + (", or a data.group of fewer rows" if task.split.group else ""),
            )
    hashes = {split: sha256_of(path) for split, path in files.items()}
    origin: Origin = {"way": "own files", "path": str(files["train"]), "sha256": hashes}
    return Rows(splits, origin, blank)


def _read(task: OwnTask, path: Path, split: str, blank: Counter[str]) -> RowFile:
    """The rows of a file; those with an empty text are counted in `blank`, under its `split`."""
    grouping = task.group_fields(split)
    templates = {"source": task.fields, "target": task.target_fields, "group": grouping}
    _check_named(task, path, templates)

    def check(number: int, row: Row) -> None:
        blank[split] += any(not str(row[name]).strip() for name in task.fields)
        if problem := task.problem(row):
            meant = task.meant(row) or next(iter(nearest(task.target(row), task.labels)), None)
            raise CompacterError(
                f"{path}, line {number}: the row {problem}",
                (f'did you mean "{excerpt(meant)}"? ' if meant else "")
                + "mend the line, or data.target and data.labels",
            )
        if grouping and not any(str(row[name]).strip() for name in grouping):
            raise CompacterError(
                f"{path}, line {number}: the row has an empty group, by which rows stay together",
                "fill it in, or mend data.group",
            )

    needed = dict.fromkeys(chain.from_iterable(templates.values()))
    return RowFile.read(path, task.name, needed, check)


def _check_named(task: OwnTask, path: Path, templates: Mapping[str, Iterable[str]]) -> None:
    """Refuse a file that lacks a column which one of its `templates` names, by its first row.

    Raises:
        CompacterError: it does.
    """
    try:
        _, row = next(read_rows(path, task.name, ()))
    except CompacterError:  # told where all of it is read, with what else is wrong there
        return
    for key, names in templates.items():
        for name in names:
            if name not in row:
                raise CompacterError(
                    f'{path} has no column "{excerpt(name)}", which data.{key} names; it has '
                    f"{excerpt(', '.join(row), 300) or 'none'}",
                    _separated_otherwise(task.name, row)
                    or did_you_mean(name, row)
                    or _column_to_set(task, key, row)
                    or f"--set data.{key}=... with a column that it has, in braces",
                )


def _column_to_set(task: OwnTask, key: str, row: Row) -> str | None:
    """The hint for a target that is in another column than the template says: one not read yet."""
    free = [name for name in row if name not in task.fields and name.isidentifier()]
    if key != "target" or not free:
        return None
    return f"--set 'data.target={{{free[0]}}}'" + (", or another that it has" if free[1:] else "")


def _separated_otherwise(form: str, row: Row) -> str | None:
    """The hint for a table whose only column is a whole header of another separator."""
    if form == "jsonl" or len(row) > 1:
        return None
    (header,) = row
    ways = {"\t": "--set task=tsv", ",": "--set task=csv", ";": "save it separated by commas"}
    found = next((way for separator, way in ways.items() if separator in header), None)
    return found and f"its columns seem to be separated otherwise: {found}"

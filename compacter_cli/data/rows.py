"""Rows of a task, where they came from, and what is wrong with them as a whole."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NotRequired, TypeAlias

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.tasks.base import Row, Task

Splits: TypeAlias = Mapping[str, Sequence[Row]]

FILLED = 'fill it, as by frame.fillna("")'  # the hint for a cell that `is_empty`


class Origin(TypedDict):
    """Where rows came from, for a run's record.

    `sha256` is that of the files that were read, by name (own files: by split); `published`
    whether they are those that were published, where that is known; `name` TFDS's.
    """

    way: Literal["generated", "own files", "folder", "archive", "tfds"]
    path: NotRequired[str]
    sha256: NotRequired[dict[str, str]]
    published: NotRequired[bool]
    name: NotRequired[str]


@dataclass(frozen=True)
class Rows:
    """Rows by split in their original order, and where they came from.

    Attributes:
        blank: how many rows of each split have an empty text; told of one's own files alone.
    """

    splits: Splits
    origin: Origin
    blank: Mapping[str, int] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int]:
        """Number of rows of each split."""
        return {split: len(rows) for split, rows in self.splits.items()}


def is_empty(value: object) -> bool:
    """Whether a cell in memory is NaN, as pandas reads an empty one, or its NA or NaT."""
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def problem_of(task: Task, split: str, rows: Sequence[Row]) -> str | None:
    """What is wrong with the rows of one split of a published task, in words, or `None`."""
    if counted := count_problem(task, split, len(rows)):
        return counted
    for row in rows:
        if blank := [name for name in task.fields if not isinstance(row[name], (str, list))]:
            return f"row {row['idx']} has no text in {blank[0]}"
        if problem := task.problem(row):
            return f"row {row['idx']} {problem}"
    return None


def count_problem(task: Task, split: str, count: int) -> str | None:
    """In words, that `count` is not the official number of a split's rows; or `None`."""
    expected = task.rows[split]
    return None if count == expected else f"expected {expected:,} rows, got {count:,}"

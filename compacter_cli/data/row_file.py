"""The rows of a file without the rows: their places, at which they are read when asked for."""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, overload

from compacter_cli.data.text_files import plain, reading
from compacter_cli.data.text_rows import read_records, row_of
from compacter_cli.errors import CompacterError
from compacter_cli.tasks.base import Row
from compacter_cli.tasks.splits import PlacedRows

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, eq=False)
class RowFile(PlacedRows[Row]):
    """Rows of a file, in whatever order; 16 bytes each are kept, and 4 where it is not the file's.

    Attributes:
        path: of the file.
        form: "jsonl", "csv" or "tsv".
        columns: all that the file has, in its order.
        needed: those that a row is given with.
        state: the file, its size and times of change, when its rows were found.
        starts, ends: the bytes between which each row of the file lies.
        order: the numbers of the rows that are meant.
    """

    path: Path
    form: str
    columns: tuple[str, ...]
    needed: tuple[str, ...]
    state: tuple[int, ...]
    starts: Sequence[int]
    ends: Sequence[int]
    order: Sequence[int]

    @classmethod
    def read(
        cls,
        path: Path,
        form: str,
        needed: Collection[str],
        check: Callable[[int, Row], None],
    ) -> Self:
        """The rows of a file, each checked: by `check(line number, row)` and as of `read_records`.

        Raises:
            CompacterError: the file cannot be read, is empty, or a row lacks what is needed.
        """
        with reading(path):
            state = _state(os.stat(path))
        starts, ends, columns = array("q"), array("q"), ()
        for record in read_records(path, form, tuple(needed), check=check):
            starts.append(record.start)
            ends.append(record.end)
            columns = columns or tuple(record.row)
        return cls(path, form, columns, tuple(needed), state, starts, ends, range(len(ends)))

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[Row]:
        with reading(self.path), open(self.path, "rb", buffering=0) as file:
            self._check_unchanged(file.fileno())
            for number in self.order:
                yield self._row(file.fileno(), self.starts[number], self.ends[number])
            self._check_unchanged(file.fileno())  # nor while they were read

    def _check_unchanged(self, file: int) -> None:
        if _state(os.fstat(file)) != self.state:
            raise CompacterError(
                f"{self.path} changed after its rows were checked",
                "begin again when nothing writes to it",
            )

    def _row(self, file: int, start: int, end: int) -> Row:
        data = os.pread(file, end - start, start)
        try:
            row = row_of(self.form, self.columns, plain(data.decode()))
            return {name: row[name] for name in self.needed}
        except (ValueError, TypeError, KeyError, StopIteration, RecursionError, csv.Error):
            self._check_unchanged(file)  # all of them were rows
            raise

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> Row | Self:
        if isinstance(index, slice):
            return replace(self, order=self.order[index])
        (row,) = self.taken([index])  # to the end, where it is checked
        return row

    def taken(self, order: Iterable[int]) -> Self:
        return replace(self, order=array("I", (self.order[place] for place in order)))


def _state(found: os.stat_result) -> tuple[int, ...]:
    # The inode and its own time too: a copy can have the size and time of what it replaces.
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino

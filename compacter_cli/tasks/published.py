"""A published task: where its original files are, and which rows a line of them makes."""

import json
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from compacter_cli.errors import excerpt
from compacter_cli.tasks.base import Row, Task

# A line by its columns: texts in a table, any JSON values where a line is a JSON object.
Line: TypeAlias = dict[str, Any]
Value: TypeAlias = str | int  # of a label; false and true are 0 and 1 to Python


class Lines:
    """What a line of an original file holds, and the rows that it makes."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What every line must have."""
        raise NotImplementedError

    def rows_of(self, line: Line, number: int) -> list[Row]:
        """The rows that a line makes: one, unless it is a passage with all its questions.

        Args:
            line: its `columns`, at least.
            number: how many lines with text stand before it, a header left out.

        Raises:
            ValueError: what is wrong with a value, in words.
            KeyError, TypeError, AttributeError: something nested is not where it should be.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Table(Lines):
    """Tab-separated lines, never quoted. A line is one row, numbered by its place.

    Attributes:
        texts: the column of each text field of a row.
        label: the column of the label.
        values: what it may be, in the order of the labels; empty where it is a number.
        header: the columns, where the first line does not name them.
        keys: the columns by which a file lists the lines that validate.
    """

    texts: dict[str, str]
    label: str = "label"
    values: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return self.header or (*self.texts.values(), *self.keys, self.label)

    def rows_of(self, line: Line, number: int) -> list[Row]:
        texts = {field: line[column] for field, column in self.texts.items()}
        return [{**texts, "label": self._label_in(line), "idx": number}]

    def _label_in(self, line: Line) -> int | float:
        if self.values:
            return label_in(line, self.label, self.values)
        score = line[self.label]
        try:
            return _float32(float(score))
        except ValueError:
            raise ValueError(f"the {self.label} is {shown(score)}, expected a number") from None


@dataclass(frozen=True)
class JsonObjects(Lines):
    """Lines of JSON objects with texts, a label and the row's number `idx`.

    Attributes:
        texts: keys of the texts, which are the row's fields too.
        values: what the label may be, in the order of the labels.
        numbers: further keys that a row keeps, whole numbers.
    """

    texts: tuple[str, ...]
    values: tuple[Value, ...]
    numbers: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        return (*self.texts, *self.numbers, "idx", "label")

    def rows_of(self, line: Line, number: int) -> list[Row]:
        texts = {key: text_in(line, key) for key in self.texts}
        numbers = {key: number_in(line, key) for key in (*self.numbers, "idx")}
        return [{**texts, **numbers, "label": label_in(line, "label", self.values)}]


def label_in(line: Line, column: str, values: Sequence[Value]) -> int:
    """Index of a line's label among `values`.

    Raises:
        ValueError: it is none of them; the number 1 is neither the text "1" nor true.
    """
    found = line[column]
    for index, value in enumerate(values):
        if type(found) is type(value) and found == value:
            return index
    expected = " or ".join(json.dumps(value) for value in values)
    raise ValueError(f"the {column} is {shown(found)}, expected {expected}")


def text_in(line: Line, key: str) -> str:
    """The text under a key of a JSON object.

    Raises:
        ValueError: it is no text.
    """
    if not isinstance(line[key], str):
        raise ValueError(f"the {key} is {shown(line[key])}, expected a text")
    return line[key]


def number_in(line: Line, key: str) -> int:
    """The whole number under a key of a JSON object.

    Raises:
        ValueError: it is no whole number.
    """
    if type(line[key]) is not int:
        raise ValueError(f"the {key} is {shown(line[key])}, expected a whole number")
    return line[key]


def shown(value: object) -> str:
    """A wrong value of a line, for a message."""
    return excerpt(repr(value[:80]) if isinstance(value, str) else value)


def _float32(number: float) -> float:
    """The nearest float32, which is what TFDS keeps of a score."""
    try:
        return struct.unpack("<f", struct.pack("<f", number))[0]
    except OverflowError:
        return math.copysign(math.inf, number)


@dataclass(frozen=True)
class OriginalFiles:
    """Where a published task's rows come from.

    Attributes:
        tfds: TFDS name, config and version.
        folder: folder of the original files, below the benchmark's.
        archive: file name of the original zip; `None` where the files were never zipped.
        files: file of each split that is read, in `folder`.
        lines: what their lines hold.
        sha256: hashes of what was published by file name: of the zip, or of the files without one.
        validating: a file that lists the lines that validate, where both splits are in one file.
        host: server of TFDS's download.
    """

    tfds: str
    folder: str
    archive: str | None
    files: dict[str, str]
    lines: Lines
    sha256: dict[str, str]
    validating: str | None = None
    host: str = "dl.fbaipublicfiles.com"

    @property
    def benchmark(self) -> str:
        return self.tfds.partition("/")[0]

    @property
    def needed(self) -> tuple[str, ...]:
        """Names of the files without which there are no rows."""
        listing = (self.validating,) if self.validating else ()
        return (*dict.fromkeys(self.files.values()), *listing)

    @property
    def place(self) -> str:
        """The task's folder below the folder of original files."""
        return f"{self.benchmark}/{self.folder}"


@dataclass(frozen=True, kw_only=True)
class PublishedTask(Task):
    """A task read from original files or from TFDS."""

    original: OriginalFiles


def named(*columns: str) -> dict[str, str]:
    """Text fields that are called as their columns are."""
    return {column: column for column in columns}


def glue_files(
    tfds: str,
    folder: str,
    lines: Table,
    sha256: str,
    *,
    archive: str | None = None,
    files: dict[str, str] | None = None,
) -> OriginalFiles:
    """The `OriginalFiles` of a GLUE task in the benchmark's own form: a zip of tables.

    `sha256` is the zip's, which is called as the folder unless `archive` names it.
    """
    archive = archive or f"{folder}.zip"
    return OriginalFiles(
        f"glue/{tfds}:2.0.0",
        folder,
        archive,
        files or {"train": "train.tsv", "validation": "dev.tsv"},
        lines,
        {archive: sha256},
    )


def super_glue_files(tfds: str, folder: str, lines: Lines, sha256: str) -> OriginalFiles:
    """The `OriginalFiles` of a SuperGLUE task in the benchmark's own form: a zip of JSON lines.

    `sha256` is the zip's.
    """
    return OriginalFiles(
        f"super_glue/{tfds}:1.0.2",
        folder,
        f"{folder}.zip",
        {"train": "train.jsonl", "validation": "val.jsonl"},
        lines,
        {f"{folder}.zip": sha256},
    )

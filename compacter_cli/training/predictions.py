"""predictions.jsonl: how a run's test rows were answered, so that it can be measured again.

    {"format": "compacter-predictions", "version": 1, "task": "glue/rte", ..., "sha256": "..."}
    {"predicted": "1", "gold": "0"}
    ...

Neither data nor backbone is needed to read it. The first line says what the rows are; the others
are the test's rows in order, each with what the task's metrics ask of it and no more.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, cast

from pydantic import Field, FiniteFloat, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.adapters.manifest import hash_of
from compacter_cli.errors import CompacterError, MissingResourceError, counted, excerpt
from compacter_cli.files import parse_json, read_file, write_text
from compacter_cli.tasks.base import Row, Task
from compacter_cli.tasks.metrics import BY_GROUP, BY_RAW_LABEL, MEANS, Answers, right
from compacter_cli.training.run_directory import PREDICTIONS
from compacter_cli.training.scoring import measured, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FORMAT, VERSION = "compacter-predictions", 1
MOST_BYTES = 1 << 30  # of free text, long rows by the million; the largest published test has 2 MB

_Names = Annotated[list[str], Field(min_length=1)]


class Header(TypedDict):
    """The first line.

    Attributes:
        targets: all target texts; none where the answer is free text.
        metrics, beside: the task's, by the names of `METRICS`.
        rows: their number.
        rows_sha256: of what the rows are, whatever is predicted: see `hash_of_rows`.
        lines_sha256: of the lines that follow, byte by byte.
        sha256: of this line's content.
    """

    format: Literal["compacter-predictions"]
    version: Literal[1]
    task: str
    targets: list[str]
    metrics: _Names
    beside: list[str]
    rows: Annotated[int, Field(gt=0)]
    rows_sha256: str
    lines_sha256: str
    sha256: str


class Line(TypedDict):
    """One row: `references` where there are others than `gold`, the rest where a metric asks."""

    predicted: str
    gold: str
    references: NotRequired[_Names]
    group: NotRequired[list[int]]
    label: NotRequired[FiniteFloat]


class _Kept(Task):
    """A task whose rows are the lines of a file."""

    @property
    def targets(self) -> tuple[str, ...]:
        return self.labels

    def target(self, row: Row) -> str:
        return row["gold"]

    def references(self, row: Row) -> tuple[str, ...]:
        return tuple(row.get("references", (row["gold"],)))

    def group(self, row: Row) -> tuple[int, ...]:
        return tuple(row["group"])


@dataclass(frozen=True)
class Predictions:
    """How the rows of a test were answered.

    Attributes:
        header: what the rows are.
        lines: the rows, in the split's order.
    """

    header: Header
    lines: list[Line]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def task(self) -> str:
        """Name of the task."""
        return self.header["task"]

    @property
    def rows_hash(self) -> str:
        """The same for two files of the same rows in the same order, whoever answered them."""
        return self.header["rows_sha256"]

    @property
    def gold(self) -> list[str]:
        """The target text of every row."""
        return [line["gold"] for line in self.lines]

    @property
    def predicted(self) -> list[str]:
        """The predicted text of every row."""
        return [line["predicted"] for line in self.lines]

    def correct(self) -> list[bool]:
        """Whether each row is answered rightly: by its label, or a text that is a reference."""
        return right(self._answers(range(len(self))))

    def measured(self, rows: Sequence[int] | None = None) -> dict[str, float]:
        """The task's metrics in percent: of all rows, or of those numbered, as often as named."""
        return self._measured(self.header["metrics"], rows)

    def beside(self, rows: Sequence[int] | None = None) -> dict[str, float]:
        """The metrics that are shown beside the task's own, as `measured` gives those."""
        return self._measured(self.header["beside"], rows)

    def _measured(self, names: Iterable[str], rows: Sequence[int] | None) -> dict[str, float]:
        chosen = range(len(self)) if rows is None else rows
        return {name: self._metric(name, chosen) for name in names}

    def _metric(self, name: str, rows: Sequence[int]) -> float:
        if name not in MEANS:
            return measured([name], self._answers(rows))[name]
        worth = self._worth[name]  # each row's once, for thousands of draws of them
        return percent(sum(worth[row] for row in rows) / len(rows))

    @cached_property
    def _worth(self) -> dict[str, Sequence[float]]:
        answers = self._answers(range(len(self)))
        return {name: MEANS[name](answers) for name in self.header["metrics"] if name in MEANS}

    def _answers(self, rows: Iterable[int]) -> Answers:
        chosen = [cast(Row, self.lines[row]) for row in rows]
        return Answers(self._task, chosen, [row["predicted"] for row in chosen])

    @cached_property
    def _task(self) -> Task:
        header = self.header
        metrics, labels = tuple(header["metrics"]), tuple(header["targets"])
        return _Kept(name=header["task"], fields=(), metrics=metrics, labels=labels)


def write_predictions(run: Path, task: Task, rows: Sequence[Row], predicted: list[str]) -> None:
    """Write the predicted text of each of a test's `rows` into a run directory.

    Raises:
        CompacterError: the disk is full or cannot be written.
    """
    pairs = zip(rows, predicted, strict=True)
    lines = "".join(_text(_line(task, row, text)) for row, text in pairs)
    header: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "task": task.name,
        "targets": [*task.targets],
        "metrics": [*task.metrics],
        "beside": [*task.beside],
        "rows": len(rows),
        "rows_sha256": hash_of_rows(task, rows),
        "lines_sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }
    write_text(run / PREDICTIONS, _text({**header, "sha256": hash_of(header)}) + lines)


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False) + "\n"


def _line(task: Task, row: Row, predicted: str) -> Line:
    line: Line = {"predicted": predicted, "gold": task.target(row)}
    references, asked = task.references(row), {*task.metrics, *task.beside}
    if references != (line["gold"],):
        line["references"] = [*references]
    if asked & BY_GROUP:
        line["group"] = [*cast(tuple[int, ...], task.group(row))]
    if asked & BY_RAW_LABEL:
        line["label"] = row["label"]
    return line


def hash_of_rows(task: Task, rows: Iterable[Row]) -> str:
    """sha256 of rows by their fields and right answers, in order: not by how they are tokenised,
    prefixed, or put into a template, nor by the number that a source of rows gives them."""
    digest = hashlib.sha256()
    for row in rows:
        content = [[row[field] for field in task.fields], task.references(row)]
        digest.update(_text(content).encode())
    return digest.hexdigest()


def read_predictions(run: Path) -> Predictions:
    """The predictions of a finished run.

    Raises:
        MissingResourceError: it has none.
        CompacterError: they are damaged, or of a later version.
    """
    path = run / PREDICTIONS
    try:
        found = _parsed(path, read_file(path, MOST_BYTES))
        _check_measurable(found)
    except FileNotFoundError as error:
        raise MissingResourceError(
            f"{run} has no {PREDICTIONS}",
            "finish it with train --resume; a run that an earlier version finished has none: "
            "train it again",
        ) from error
    except OSError as error:
        raise CompacterError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise CompacterError(
            f"{path} is damaged: {excerpt(str(error), 200)}", "train the run again"
        ) from error
    return found


def _parsed(path: Path, data: bytes) -> Predictions:
    first, _, rest = data.partition(b"\n")
    header = _header(path, parse_json(first))
    if hashlib.sha256(rest).hexdigest() != header["lines_sha256"]:
        raise ValueError("its lines are not as they were written")
    lines = [parse_json(line) for line in rest.split(b"\n")[:-1]]
    if len(lines) != header["rows"]:
        raise ValueError(f"it has {counted(len(lines), 'row')}, expected {header['rows']:,}")
    return Predictions(header, _valid(list[Line], lines))


def _header(path: Path, value: Any) -> Header:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise ValueError("its first line is not that of predictions")
    if hash_of({k: v for k, v in value.items() if k != "sha256"}) != value.get("sha256"):
        raise ValueError("its first line is not as it was written")
    if value.get("version") != VERSION:
        raise CompacterError(
            f"{path} has format version {excerpt(value.get('version'))}, this compacter reads "
            f"{VERSION}",
            "read it with the version that wrote it",
        )
    return _valid(Header, value)


def _valid(kind: Any, value: object) -> Any:
    try:
        return TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{where}: {first['msg']}") from error


def _check_measurable(found: Predictions) -> None:
    """Refuse what nobody's run wrote, such as a metric over what the rows do not have."""
    try:
        found.measured()
        found.beside()
    except (ValueError, LookupError, TypeError, ArithmeticError) as error:
        raise ValueError(f"it cannot be measured: {error!r}") from error

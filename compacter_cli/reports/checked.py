"""What a report shows out of files that may be damaged: checked once, where it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, cast

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.errors import excerpt
from compacter_cli.sweeps.records import IndexLine

if TYPE_CHECKING:
    from compacter_cli.training.records import Result

# No score, count, rate or time is larger, and sums and pictures of these are sound.
LARGEST = 1e15
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]
MOST = 100 + 1e-6  # percent, and what rounding may add; a correlation may be as far below 0


def _score(value: float) -> float:
    if not -MOST <= value <= MOST:
        raise PydanticCustomError(
            "score", "expected a score of -100 to 100, got {got}", {"got": value}
        )
    return value


Score = Annotated[float, AfterValidator(_score)]
Whole = Annotated[int, Field(ge=-int(LARGEST), le=int(LARGEST))]


class _Scores(TypedDict):
    metrics: Annotated[dict[str, Score], Field(min_length=1)]
    majority: dict[str, Score]
    count: Whole
    invalid: Whole
    mean: Score
    beside: NotRequired[dict[str, Score]]


class _Measured(TypedDict):
    full: dict[str, Score]


class _Result(TypedDict):
    """Of result.json what is shown."""

    task: str
    method: str
    preset: str
    seed: Whole
    trained_parameters: Whole
    trained_percent: Number
    backbone_parameters: Whole
    epochs: Whole
    best_epoch: Whole
    validation: _Scores
    test: _Scores
    paper: NotRequired[list[Score] | None]
    measured: NotRequired[_Measured | None]
    before: NotRequired[_Scores | None]
    adapter_bytes: Whole
    training_seconds: Number
    peak_memory_bytes: Whole


class _Update(TypedDict):
    kind: Literal["update"]
    step: Whole
    loss: Number | None
    learning_rate: Number


class _EpochScores(TypedDict):
    metrics: dict[str, Score]
    mean: Score


class _Epoch(TypedDict):
    kind: Literal["epoch"]
    number: Whole
    step: Whole
    loss: Number | None
    validation: _EpochScores
    best: bool


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _checked(kind: Any, value: object) -> Any:
    """`value` as `kind` has it, keys of no concern left out.

    Raises:
        ValueError: it is none, in a few words.
    """
    try:
        return _adapter(kind).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(excerpt(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def checked_result(value: object) -> Result:
    """What is shown of a result.json.

    Raises:
        ValueError: a part of it is missing or of another kind.
    """
    return cast("Result", _checked(_Result, value))


def checked_metrics_line(value: object) -> dict[str, Any]:
    """What is drawn of a line of metrics.jsonl: of an update, or of an epoch.

    Raises:
        ValueError: it is neither.
    """
    kind = Annotated[_Update | _Epoch, Field(discriminator="kind")]
    return _checked(kind, value)


def checked_index(lines: Sequence[IndexLine]) -> tuple[list[IndexLine], int]:
    """The lines of an index that can be shown, and how many cannot.

    A run whose result alone is damaged is one that failed.
    """
    found = [_checked_line(line) for line in lines]
    return [line for line in found if line is not None], sum(line is None for line in found)


def _checked_line(line: IndexLine) -> IndexLine | None:
    wrong = _wrong_keys(line)
    if not wrong:
        return line
    rest = {key: value for key, value in line.items() if key not in wrong}
    key, what = next(iter(wrong.items()))
    failed = {**rest, "state": "failed", "error": f"its result is damaged: {key}: {what}"}
    return None if _wrong_keys(failed) else cast(IndexLine, failed)


def _wrong_keys(line: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with a line of an index, by key."""
    wrong = {key: "no run comes to this" for key, value in line.items() if not _is_sound(value)}
    try:
        _adapter(IndexLine).validate_python(line, strict=True)
    except ValidationError as error:
        wrong |= {str(one["loc"][0]): one["msg"] for one in error.errors() if one["loc"]}
    for key in _SCORES:
        if key not in wrong and (why := _no_scores(line.get(key))):
            wrong[key] = why
    if line.get("state") == "finished" and not {"test", "step_ms"} & line.keys():
        wrong["test"] = "it is missing"
    return wrong


_SCORES = ("test", "test_mean", "validation", "validation_mean", "majority")


def _no_scores(value: object) -> str:
    """Why a value of a line is no score and no scores; "" where it is, or is not there."""
    if value is None:
        return ""
    try:
        _checked(dict[str, Score] if isinstance(value, dict) else Score, value)
    except ValueError as error:
        return str(error)
    return ""


def _is_sound(value: object) -> bool:
    """Whether no number in a value is beyond all bounds."""
    if isinstance(value, dict):
        return all(map(_is_sound, value.values()))
    if isinstance(value, list):
        return all(map(_is_sound, value))
    return not isinstance(value, int | float) or abs(value) <= LARGEST

"""What a run leaves as data: the schema of result.json, metrics.jsonl and environment.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NotRequired, TypedDict

if TYPE_CHECKING:
    from compacter_cli.data.rows import Origin
    from compacter_cli.paper.demo_scores import Measured


class ScoresRecord(TypedDict):
    """How a split was answered, in percent; see `Scores`."""

    metrics: dict[str, float]
    majority: dict[str, float]
    count: int
    invalid: int
    mean: float
    beside: NotRequired[dict[str, float]]


class Result(TypedDict):
    """result.json: what a finished run came to. Shares are in percent, memory is in bytes."""

    task: str
    method: str
    preset: str
    seed: int
    trained_parameters: int
    trained_percent: float
    backbone_parameters: int
    epochs: int
    best_epoch: int
    validation: ScoresRecord
    test: ScoresRecord
    paper: list[float] | None
    measured: Measured | None
    before: ScoresRecord | None
    run: str
    adapter_bytes: int
    training_seconds: float
    peak_memory_bytes: int
    data: Origin


class UpdateLine(TypedDict):
    """A line of metrics.jsonl: one optimizer step, counted from 1, and its loss before it."""

    kind: Literal["update"]
    step: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float


class EpochLine(TypedDict):
    """A line of metrics.jsonl: one finished epoch, counted from 1."""

    kind: Literal["epoch"]
    number: int
    step: int
    loss: float
    validation: ScoresRecord
    best: bool


class Environment(TypedDict):
    """environment.json: versions, machine and command."""

    compacter: str
    python: str
    platform: str
    packages: dict[str, str | None]
    device: str
    device_name: str
    threads: int
    command: list[str]

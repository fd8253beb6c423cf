"""What a run leaves as data: the schema of result.json, metrics.jsonl and environment.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

if TYPE_CHECKING:
    from compacter_cli.adapters.manifest import StartedFrom
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


RESULT_FORMAT: Final = "compacter-result"
RESULT_VERSION: Final = 1
RUN_FORMAT: Final = "compacter-run"
RUN_VERSION: Final = 1


class Result(TypedDict):
    """result.json: what a finished run came to. Shares are in percent, memory is in bytes.

    What is not required, runs of earlier versions lack: format and version, the peak rate, on how
    many examples, in how many updates and epochs it was trained, and why it ended (`epochs`: after
    all of them). `started_from` stands where the recipe has a `train.init_from`.
    """

    format: NotRequired[Literal["compacter-result"]]
    version: NotRequired[Literal[1]]
    task: str
    method: str
    preset: str
    seed: int
    trained_parameters: int
    trained_percent: float
    backbone_parameters: int
    epochs: int
    learning_rate: NotRequired[float]
    train_examples: NotRequired[int]
    updates: NotRequired[int]
    epochs_trained: NotRequired[int]
    ended: NotRequired[Literal["epochs", "patience"]]
    started_from: NotRequired[StartedFrom]
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
    """A line of metrics.jsonl: one optimizer step, counted from 1, and its loss before it.

    What is not finite is `None`; a skipped update changed nothing.
    """

    kind: Literal["update"]
    step: int
    epoch: int
    loss: float | None
    learning_rate: float
    gradient_norm: float | None
    skipped: NotRequired[bool]


class EpochLine(TypedDict):
    """A line of metrics.jsonl: one finished epoch, counted from 1."""

    kind: Literal["epoch"]
    number: int
    step: int
    loss: float | None
    validation: ScoresRecord
    best: bool


class ProgressRecord(TypedDict):
    """How far a fine-tuning is: see `Progress`; `best` is `None` before the first epoch's end.

    `stale` and `mute`, states of earlier versions lack.
    """

    epochs: int
    losses: float
    counted: int
    best: float | None
    stale: NotRequired[int]
    mute: NotRequired[bool]


class Environment(TypedDict):
    """environment.json: versions, machine and command; after which updates it was gone on with.

    `format` and `version`, which earlier versions did not write, are those of the run's directory:
    of this file and of metrics.jsonl. `processes` is how many trained it, where they were several.
    """

    format: NotRequired[Literal["compacter-run"]]
    version: NotRequired[Literal[1]]
    compacter: str
    python: str
    platform: str
    packages: dict[str, str | None]
    device: str
    device_name: str
    threads: int
    command: list[str]
    resumed: NotRequired[list[int]]
    processes: NotRequired[int]


def epochs_words(result: Result) -> str:
    """`best epoch 3 of 20`, and after how many it ended where that was not after all."""
    best, planned = result["best_epoch"], result["epochs"]
    trained = result.get("epochs_trained", planned)
    if trained == planned:
        return f"best epoch {best} of {planned}"
    return f"best epoch {best}, ended after {trained} of {planned} by train.patience"

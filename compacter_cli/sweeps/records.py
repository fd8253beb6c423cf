"""What is known of every run of a sweep: a line of its `index.jsonl` each."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

State = Literal["finished", "failed", "unfinished", "waiting"]


class IndexLine(TypedDict):
    """A run of a sweep; what only a finished one has is left out of the others.

    `setting` holds the values of the searched keys, by dotted key, and `axis` the value of the
    sweep's axis, `None` where it has none. `run` is its directory, seen from the sweep's, and
    `recipe_hash` what tells its recipe from others. Scores are in percent, memory is in bytes;
    `train_rows` is how many rows it trains on, `None` where the data alone can tell.
    """

    sweep: str
    task: str
    arm: str
    method: str
    method_settings: dict[str, Any]
    setting: dict[str, Any]
    axis: Any
    seed: int
    run: str
    recipe_hash: str
    state: State
    preset: str
    learning_rate: float
    trained_parameters: int
    trained_percent: float
    backbone_parameters: int
    train_rows: int | None
    error: NotRequired[str]
    epochs: NotRequired[int]
    best_epoch: NotRequired[int]
    training_seconds: NotRequired[float]
    peak_memory_bytes: NotRequired[int]
    adapter_bytes: NotRequired[int]
    validation_mean: NotRequired[float]
    test_mean: NotRequired[float]
    validation: NotRequired[dict[str, float]]
    test: NotRequired[dict[str, float]]
    majority: NotRequired[dict[str, float]]
    invalid: NotRequired[int]
    # of a measured training step, in sweeps that profile
    step_ms: NotRequired[float]
    minutes_per_epoch: NotRequired[float]
    batch: NotRequired[int]


class Outcome(TypedDict):
    """What became of a run when a worker ran it.

    "stopped" ones were asked to stop and have saved their state; "died" ones were killed.
    `exit_code` is what `compacter train` would have given.
    """

    state: Literal["finished", "failed", "stopped", "died"]
    error: NotRequired[str]
    hint: NotRequired[str | None]
    exit_code: NotRequired[int]

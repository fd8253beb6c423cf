"""What children answer, and what a profile is made of: plain data, as `--json` prints it."""

from typing import Any, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12


class Device(TypedDict):
    """What was measured on: torch's device, its name, CPU threads, and torch's version."""

    device: str
    device_name: str
    threads: int
    torch: str


class Machine(Device):
    """The answer to a probe: `free_bytes` of memory are to be had, `None` if that is unknown."""

    free_bytes: int | None


class Failure(TypedDict):
    """Why nothing was measured, in a few words."""

    failed: str
    memory: NotRequired[bool]
    """Whether it was for memory that ran out."""
    usage: NotRequired[bool]
    """Whether what was asked for cannot be."""
    hint: NotRequired[str | None]


class Milliseconds(TypedDict):
    """Times of a step."""

    median: float
    min: float
    max: float


class EpochCost(TypedDict):
    """Seconds of a task's epoch at its real lengths, scaled from the examples that were timed."""

    seconds: float
    examples: int
    timed_examples: int
    mean_source_tokens: float


class Costs(TypedDict):
    """What training steps of a method take.

    The peak is weights and growth; an example's share of it is `example_bytes`. On a CPU the
    process had `frameworks_bytes` before the model was made; on a GPU they are 0.
    """

    batch: int
    frameworks_bytes: int
    step_ms: Milliseconds
    steps_ms: list[float]
    example_ms: float
    tokens_per_second: float
    weight_bytes: int
    growth_bytes: int
    peak_bytes: int
    example_bytes: float
    saved_bytes: int
    epoch: EpochCost | None


class Deltas(TypedDict):
    """How much more than full fine-tuning, in percent; `None` where there is no figure."""

    time: float | None
    memory: float | None


class Counts(TypedDict):
    """Parameters that train, and their share: as the paper counts, and of the backbone as it is."""

    trained: int
    percent: float
    percent_own: float


class Named(TypedDict):
    """The method of a row, its settings, and its deltas in the paper."""

    method: str
    settings: dict[str, Any]
    paper_delta_percent: Deltas


class Measured(Named, Counts, Costs):
    """A method that was measured; its deltas are `None` where full fine-tuning was not."""

    delta_percent: Deltas | None


class Unmeasured(Named, Failure):
    """A method that was not measured; its parameters could be counted or not."""

    trained: NotRequired[int]
    percent: NotRequired[float]
    percent_own: NotRequired[float]


Row = Measured | Unmeasured


class Profile(Device):
    """A profile: the setting, and a row a method.

    `batch` is `None` within a budget, where every method has its own; `vocabulary` is where the
    lengths of the `task` are from.
    """

    backbone: str
    batch: int | None
    accumulate: int
    source: int
    target: int
    precision: str
    steps: int
    task: str | None
    vocabulary: str | None
    budget_bytes: int | None
    delta: str
    methods: list[Row]

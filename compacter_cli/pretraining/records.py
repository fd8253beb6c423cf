"""What a pretraining leaves as data: the schema of pretraining.json and of its metrics.jsonl."""

from typing import Final, Literal, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12


class ValidationLine(TypedDict):
    """A line of metrics.jsonl, beside those of updates: the loss of what is held out."""

    kind: Literal["validation"]
    step: int
    loss: float


class TextRecord(TypedDict):
    """The text: passages, the tokens of those trained on, and how often these were seen."""

    passages: int
    held_out: int
    repeated: int
    tokens: int
    times_seen: float
    sha256: str


class ValidationLosses(TypedDict):
    """Losses a token: of the random start, after training, and of the preset as it is loaded."""

    start: float
    end: float
    stored: float


class Versions(TypedDict):
    """What the pretraining ran with."""

    compacter: str
    python: str
    packages: dict[str, str | None]


SUMMARY_FORMAT: Final = "compacter-pretraining"
SUMMARY_VERSION: Final = 1


class Summary(TypedDict):
    """pretraining.json: what a finished pretraining came to. The first have no format, version."""

    format: NotRequired[Literal["compacter-pretraining"]]
    version: NotRequired[Literal[1]]
    seed: int
    steps: int
    text: TextRecord
    vocabulary: int
    parameters: int
    validation_loss: ValidationLosses
    precision: str
    weights_bytes: int
    fingerprint: str
    training_seconds: float
    versions: Versions
    device: str
    threads: int


class Pretrained(Summary):
    """A summary, and the directory of the preset that it is of."""

    preset: str

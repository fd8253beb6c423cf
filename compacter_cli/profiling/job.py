"""What one child process is asked to measure."""

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Job:
    """One method to measure; travels as JSON.

    Attributes:
        recipe: plain data of a `Recipe`: backbone, method, batch, source length and the rest.
        target: tokens of every target.
        steps: training steps timed.
        device: torch device name.
        threads: CPU threads of torch, `None` for its own choice.
        vocabulary: preset directory with the vocabulary for the task's epoch, or `random/tiny`;
            `None` to time no epoch.
        budget: bytes that training may take, the frameworks' own not counted, or `None`.
        search: bool. On a GPU: find the largest batch within the budget first.
    """

    recipe: dict
    target: int
    steps: int
    device: str
    threads: int | None = None
    vocabulary: str | None = None
    budget: int | None = None
    search: bool = False

    def as_data(self):
        """Plain data, from which `Job(**data)` is the same job."""
        return asdict(self)

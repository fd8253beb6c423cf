"""What a child process is asked: to look at its device, or to measure one method."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Probe:
    """Which device there is, and what is to be known of it.

    Attributes:
        device: as `--device` has it, `None` for a GPU where there is one.
        threads: CPU threads of torch, `None` for its own choice.
    """

    device: str | None
    threads: int | None = None


@dataclass(frozen=True)
class Job:
    """One method to measure.

    Attributes:
        recipe: plain data of a `Recipe`: backbone, method, batch, source length and the rest.
        target: tokens of every target.
        steps: training steps timed.
        device: torch device name.
        threads: CPU threads of torch, `None` for its own choice.
        vocabulary: preset directory with the vocabulary for the task's epoch, or `random/tiny`;
            `None` to time no epoch.
        budget: bytes that training may take, the frameworks' own not counted, or `None`.
        search: on a GPU, find the largest batch within the budget first.
        answers: sources that are answered at once after the steps, as in scoring; their memory is
            in the growth.
    """

    recipe: dict[str, Any]
    target: int
    steps: int
    device: str
    threads: int | None = None
    vocabulary: str | None = None
    budget: int | None = None
    search: bool = False
    answers: int = 0

    @property
    def batch(self) -> int:
        """Examples of a step."""
        return self.recipe["train"]["batch_size"]

    def with_batch(self, size: int) -> Job:
        """The same job with steps of `size` examples."""
        train = {**self.recipe["train"], "batch_size": size}
        return replace(self, recipe={**self.recipe, "train": train})


KINDS = {"probe": Probe, "job": Job}


def as_plain(asked: Probe | Job) -> dict[str, Any]:
    """Plain data, from which `of_plain` makes the same again."""
    kind = "probe" if isinstance(asked, Probe) else "job"
    return {kind: asdict(asked)}


def of_plain(plain: dict[str, Any]) -> Probe | Job:
    """What a child process is asked, from what `as_plain` gave."""
    ((kind, fields),) = plain.items()
    return KINDS[kind](**fields)

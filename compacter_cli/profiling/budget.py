"""The largest batch that fits a memory budget, by doubling and then halving the gap."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from compacter_cli.profiling.children import run_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from compacter_cli.profiling.job import Job
    from compacter_cli.profiling.rows import Costs, Failure

PRECISION = 16  # the gap left is at most a sixteenth of the batch found
NONE_FITS: Failure = {"failed": "out of memory at batch 1", "memory": True}


def largest_batch(fits: Callable[[int], bool], first: int) -> int:
    """The largest batch for which `fits(batch)` is true, to a sixteenth; 0 if one does not fit.

    A batch that fits implies that all smaller ones do. `fits` is asked once for a batch.

    Args:
        fits: whether a batch of this size fits.
        first: the first batch tried.
    """
    low, high = 0, first
    while fits(high):
        low, high = high, 2 * high
    while high - low > max(1, low // PRECISION):
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low


def measured_within_budget(job: Job) -> Costs | Failure:
    """What a job measures at the largest batch within its budget, on a CPU.

    Every trial is a child process that cannot take more; one that fails for another reason than
    memory ends the search, and its failure is the answer.
    """
    trial = replace(job, steps=1, vocabulary=None)

    def fits(size: int) -> bool:
        answer = run_job(trial.with_batch(size))
        if "failed" not in answer:
            return True
        if not answer.get("memory"):
            raise _OtherError(answer)
        return False

    try:
        size = largest_batch(fits, job.batch)
    except _OtherError as other:
        return other.failure
    while size:
        answer = run_job(job.with_batch(size))
        if "failed" not in answer or not answer.get("memory"):
            return answer
        size -= max(1, size // PRECISION)  # more steps than a trial's scatter memory more
    return NONE_FITS


class _OtherError(Exception):
    """A trial failed for another reason than memory."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure["failed"])
        self.failure = failure

"""The largest batch that fits a memory budget, by doubling and then halving the gap."""

from compacter_cli.profiling.children import run_job

PRECISION = 16  # the gap left is at most a sixteenth of the batch found


def largest_batch(fits, first):
    """The largest batch for which `fits(batch)` is true, to a sixteenth; 0 if one does not fit.

    A batch that fits implies that all smaller ones do. `fits` is asked once for a batch.

    Args:
        fits: function of a batch size, true if it fits.
        first: int. The first batch tried.
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


def measured_within_budget(job, threads=None):
    """What a job measures at the largest batch within its budget, on a CPU.

    Every trial is a child process that cannot take more; one that fails for another reason than
    memory ends the search, and its failure is the answer.
    """

    def fits(size):
        result = run_job({**_with_batch(job, size), "steps": 1, "vocabulary": None}, threads)
        if "failed" in result and not result.get("memory"):
            raise _OtherError(result)
        return "failed" not in result

    try:
        size = largest_batch(fits, job["recipe"]["train"]["batch_size"])
    except _OtherError as failure:
        return failure.args[0]
    while size:
        result = run_job(_with_batch(job, size), threads)
        if not result.get("memory"):
            return result
        size -= max(1, size // PRECISION)  # more steps than a trial's scatter memory more
    return {"failed": "out of memory at batch 1", "memory": True}


class _OtherError(Exception):
    """A trial failed for another reason than memory; its result is the argument."""


def _with_batch(job, size):
    recipe = job["recipe"]
    return {**job, "recipe": {**recipe, "train": {**recipe["train"], "batch_size": size}}}

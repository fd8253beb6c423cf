"""Memory of this process: its peak, and advice where there is not enough of it."""

from contextlib import contextmanager

from compacter_cli.errors import CompacterError

# What torch, its CPU allocator and C++ say; `torch.OutOfMemoryError` is a RuntimeError too.
_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")


def peak_memory(device):
    """Peak bytes so far: of torch's CUDA allocator on a GPU, of the whole process on a CPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error):
    """Whether an exception says that memory, of the machine or of a GPU, has run out."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(sign in text for sign in _SIGNS)


@contextmanager
def memory_advice(section, directory):
    """Turn running out of memory inside, while a run trains, into an error that says what to do.

    Args:
        section: the recipe's train section.
        directory: run directory, whose saved adapters stay as they are.

    Raises:
        CompacterError: memory ran out inside.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise CompacterError(
            f"out of memory, training with {section.batch_size} and evaluating with "
            f"{section.eval_batch_size} examples at once; what is saved in {directory} is intact",
            _less_memory(section),
        ) from error


def _less_memory(section):
    """The settings that need less, as `--set` takes them, the ones that change nothing first."""
    size, times = section.batch_size, section.accumulate
    ways = []
    if size > 1:
        ways.append(f"--set train.batch_size={size // 2} --set train.accumulate={2 * times}")
    if getattr(section, "remat", True) is False:
        ways.append("--set train.remat=true, which is slower")
    if section.eval_batch_size > size // 2 > 0:
        ways.append(f"--set train.eval_batch_size={size // 2}")
    return "; ".join(ways) or "take a smaller backbone, or a shorter data.source_length"

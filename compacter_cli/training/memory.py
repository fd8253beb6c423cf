"""Memory of this process: its peak, and advice where there is not enough of it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, counted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from compacter_cli.recipe.sections import TrainSection

# What torch, its CPU allocator, its libraries and C++ say.
_SIGNS = ("out of memory", "can't allocate memory", "cannot allocate memory", "bad_alloc")
_SIGNS += ("not enough memory", "status_alloc_failed", "could not create a memory object")


def peak_memory(device: str) -> int:
    """Peak bytes so far: of torch's CUDA allocator on a GPU, of the whole process on a CPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device)
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory, of the machine or of a GPU, has run out.

    Of another type too: Keras raises what happens inside a layer again as a ValueError.
    """
    if isinstance(error, MemoryError):
        return True
    return any(sign in str(error).lower() for sign in _SIGNS)


@contextmanager
def memory_advice(section: TrainSection, directory: Path) -> Iterator[None]:
    """Turn running out of memory inside, while a run trains, into an error that says what to do.

    Args:
        section: the recipe's train section.
        directory: run directory, whose saved adapters stay as they are.

    Raises:
        CompacterError: memory ran out inside.
    """
    try:
        yield
    except CompacterError:
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise CompacterError(
            f"out of memory, training with {section.batch_size} and evaluating with "
            f"{counted(section.eval_batch_size, 'example')} at once; what is saved in {directory} "
            "is intact",
            f"{_less_memory(section)}; --overwrite begins again with it",
        ) from error


def _less_memory(section: TrainSection) -> str:
    """The settings that need less, as `--set` takes them, the ones that change nothing first."""
    size, times = section.batch_size, section.accumulate
    ways = []
    if size % 2 == 0:
        ways.append(f"--set train.batch_size={size // 2} --set train.accumulate={2 * times}")
    if not section.remat:
        ways.append("--set train.remat=true, which is slower")
    if section.eval_batch_size > 1:
        ways.append(f"--set train.eval_batch_size={section.eval_batch_size // 2}")
    if size % 2 and size > 1:
        ways.append(f"--set train.batch_size={size // 2}, which trains otherwise")
    return "; ".join(ways) or "take a smaller backbone, or a shorter data.source_length"

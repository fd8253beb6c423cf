"""The processes of a run that are more than one, by torch.distributed.

They meet over gloo; on GPUs gradients go over nccl. Weights and optimizer are every process's own,
and stay the same bits.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from compacter_cli.errors import CompacterError, UsageError, excerpt
from compacter_cli.training.memory import is_out_of_memory
from compacter_cli.training.processes import Processes
from compacter_cli.training.signals import Stop
from compacter_cli.training.telling import ENDED, ignore_the_launcher, leave_the_telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor
    from torch.distributed.distributed_c10d import Store

    from compacter_cli.errors import Interrupted

T = TypeVar("T")

SILENT = timedelta(minutes=30)  # after which a process that is waited for counts as gone
_GONE = ("closed", "reset", "refused", "broken pipe", "timed out", "timeout", "remote process")
_FIRST = "compacter/first"  # in the store, with a machine's lowest rank: its first one is done
_OFTEN = 0.1  # seconds between two looks into the store


class Several(Processes):
    """The processes of a run that are more than one.

    Args:
        store: by which they have found each other.
        rank, count: as torchrun has them.
        device: the one that was asked for, if any.

    Raises:
        UsageError: not everyone can have a GPU.
    """

    def __init__(self, store: Store, rank: int, count: int, device: str | None) -> None:
        import torch
        import torch.distributed.nn  # its defaults would hold the group for good, imported later
        from torch import distributed

        self.rank, self.count, self._store = rank, count, store
        self._here = int(os.environ.get("LOCAL_RANK", rank))
        here = int(os.environ.get("LOCAL_WORLD_SIZE", count))
        # Of several machines each has options of its own, which are not known here.
        how = f"--nproc-per-node {here}" if here == count else "<as before>"
        self.program = f"torchrun {how} -m compacter_cli"
        gpus = device != "cpu" and torch.cuda.is_available()
        if gpus:
            _take_gpu(self._here, here, device)
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpus else "gloo",
            store=store,
            rank=rank,
            world_size=count,
            timeout=SILENT,
        )

    def in_order(self, own: list[T]) -> list[T]:
        from torch import distributed

        shares: list[Any] = [None] * self.count
        with self._reaching_all():
            distributed.all_gather_object(shares, own)
        places = range(sum(map(len, shares)))
        return [shares[place % self.count][place // self.count] for place in places]

    def sum_(self, tensor: Tensor) -> None:
        from torch import distributed

        with self._reaching_all():
            distributed.all_reduce(tensor)

    def total(self, number: float) -> float:
        import torch

        sum_ = torch.tensor(number, dtype=torch.float64)
        self.sum_(sum_)
        return sum_.item()

    def most(self, number: int) -> int:
        import torch
        from torch import distributed

        largest = torch.tensor(number)
        with self._reaching_all():
            distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        return int(largest)

    def of_main(self, make: Callable[[], T]) -> T:
        from torch import distributed

        told: list[Any] = [make() if self.main else None]
        with self._reaching_all():
            distributed.broadcast_object_list(told, src=0)
        return told[0]

    def tensors_of_main(self, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        import torch
        from torch import distributed

        own = make() if self.main else {}
        found = self.of_main(lambda: {name: (t.shape, t.dtype) for name, t in own.items()})
        for name, (shape, dtype) in found.items():
            tensor = own.setdefault(name, torch.empty(shape, dtype=dtype))
            with self._reaching_all():
                distributed.broadcast(tensor, src=0)
        return own

    def agreed(self, stop: Stop) -> Stop:
        return _AgreedStop(stop, self)

    @contextmanager
    def one_first(self) -> Iterator[None]:
        done = f"{_FIRST}/{self.rank - self._here}"
        if self._here > 0:
            self._wait_for(done)
        yield
        if self._here == 0:
            with self._reaching_all():
                self._store.set(done, "")

    def _wait_for(self, key: str) -> None:
        """Wait, however long, until the store has a key; signals are heard meanwhile."""
        with self._reaching_all():
            while not self._store.check([key]):
                if self._store.check([ENDED]):
                    leave_the_telling(self._store, self.rank, 1)
                time.sleep(_OFTEN)

    def wait(self) -> None:
        self.most(0)

    @contextmanager
    def _reaching_all(self) -> Iterator[None]:
        """Say in a line that another process is gone, which torch says in many.

        The launcher ends this one, too, as soon as it sees that: who tells is settled here.
        """
        try:
            yield
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            leave_the_telling(self._store, self.rank, 1)
            raise _unreached(error) from error


class _AgreedStop(Stop):
    """A `Stop` that is asked for in all processes at once, and tells all the same.

    Args:
        own: whether, and by which signal, this process was told to stop.
        processes: all of them.
    """

    def __init__(self, own: Stop, processes: Processes) -> None:
        super().__init__()
        self._own, self._processes = own, processes

    def __call__(self) -> bool:
        if self.signum is None:
            self.signum = self._processes.most(self._own.signum or 0) or None
        return super().__call__()

    def interrupted(self, message: str, command: str | None = None) -> Interrupted:
        ignore_the_launcher()
        return super().interrupted(message, command)


def _unreached(error: RuntimeError) -> CompacterError:
    """What torch says when it does not reach all processes, in a line."""
    said = excerpt(" ".join(str(error).split()), 300)
    if any(sign in said.lower() for sign in _GONE):
        return CompacterError(
            "another process of this run has ended, or is silent for half an hour: so this one "
            f"ends; what was saved last is whole ({said})",
            "start the same command again with --resume in the place of --overwrite",
        )
    return CompacterError(
        f"the processes of this run do not reach each other: {said}",
        "NCCL_DEBUG=INFO shows what GPUs do; --device cpu does without NCCL",
    )


def _take_gpu(place: int, here: int, device: str | None) -> None:
    """Make the GPU of this process's own the one that is called "cuda"."""
    import torch

    gpus = torch.cuda.device_count()
    if device not in (None, "cuda"):
        raise UsageError(
            f"--device {device} is one GPU, and {here} processes take one each",
            "leave --device out, or give --device cuda",
        )
    if here > gpus:
        raise UsageError(
            f"{here} processes take a GPU each, and {gpus} are here",
            f"start {gpus} on each machine, or give --device cpu",
        )
    torch.cuda.set_device(place)

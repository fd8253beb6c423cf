"""The processes that train one run together, by torch.distributed: which this is, what they share.

They are started by torchrun, which sets RANK, WORLD_SIZE and the like, and meet over gloo; on GPUs
gradients go over nccl. Weights and optimizer are every process's own, and stay the same bits.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from compacter_cli.errors import CompacterError, ToldElsewhereError, UsageError, excerpt
from compacter_cli.training.memory import is_out_of_memory
from compacter_cli.training.signals import Stop, handled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor
    from torch.distributed.distributed_c10d import Store

    from compacter_cli.errors import Interrupted

T = TypeVar("T")

_SILENT = timedelta(minutes=30)  # after which a process that is waited for counts as gone
_ENDED = "compacter/ended"  # in the store: rank and exit code of the first to end before the run
_GONE = ("closed", "reset", "refused", "broken pipe", "timed out", "timeout", "remote process")
_FIRST = "compacter/first"  # in the store, with a machine's lowest rank: its first one is done
_OFTEN = 0.1  # seconds between two looks into the store
_LAUNCH = "start them by: torchrun --nproc-per-node N -m compacter_cli train ..."


class Processes:
    """The processes of a run, seen from one of them; by itself, one alone.

    What all of them do is done by all, in the same order: everything but `share`.

    Attributes:
        rank: which of them this is; 0 is the main one, which writes and tells.
        count: how many there are.
        program: the words that start them.
    """

    rank, count = 0, 1
    program = "compacter"

    @property
    def main(self) -> bool:
        """Whether this is the process that writes and tells."""
        return self.rank == 0

    def share(self, places: Sequence[T]) -> Sequence[T]:
        """What of `places` is this process's: all are dealt out, one after another."""
        return places[self.rank :: self.count]

    def in_order(self, own: list[T]) -> list[T]:
        """What all have made of their shares, in the order in which they were dealt out."""
        return own

    def sum_(self, tensor: Tensor) -> None:
        """Put the sum of all processes' tensors into each, on whatever device they are."""

    def total(self, number: float) -> float:
        """The sum of all processes' numbers."""
        return number

    def most(self, number: int) -> int:
        """The largest of all processes' numbers."""
        return number

    def of_main(self, make: Callable[[], T]) -> T:
        """What `make` gives the main process; the others do not call it."""
        return make()

    def tensors_of_main(self, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """As `of_main`, of tensors on the CPU, which may be large."""
        return make()

    def agreed(self, stop: Stop) -> Stop:
        """A `Stop` that is true for all as soon as one of them was told to."""
        return stop

    def wait(self) -> None:
        """Wait until all are here."""

    @contextmanager
    def one_first(self) -> Iterator[None]:
        """What one process of every machine does before its others do: they find it done."""
        yield


ALONE = Processes()


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
            timeout=_SILENT,
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
                if self._store.check([_ENDED]):
                    _leave_the_telling(self._store, self.rank, 1)
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
            _leave_the_telling(self._store, self.rank, 1)
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
        _ignore_the_launcher()
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


def launched() -> int:
    """How many processes were started to work together: 1 where nothing says so.

    Raises:
        UsageError: what says so is no number.
    """
    found = os.environ.get("WORLD_SIZE", "1")
    if not found.isascii() or not found.isdigit() or int(found) < 1:
        raise UsageError(f"WORLD_SIZE={found}: expected the number of processes", _LAUNCH)
    return int(found)


def check_alone(command: str) -> None:
    """Refuse a command that is not for several processes; the main one says so.

    Raises:
        UsageError: several were started.
    """
    count = launched()
    if count > 1 and os.environ.get("RANK", "0") != "0":
        raise ToldElsewhereError(UsageError.exit_code)
    if count > 1:
        raise UsageError(
            f"{count} processes were started for compacter {command}, which is for one: only "
            "train is for several",
            "start it without torchrun; unset WORLD_SIZE if it is there for another program",
        )


@contextmanager
def joined(device: str | None = None) -> Iterator[Processes]:
    """The processes that were started together: inside, all of them are there.

    Where one ends before its time, all do, with its exit code, and it alone tells why.

    Args:
        device: "cpu" or "cuda"; GPUs where there are any.

    Raises:
        CompacterError: they do not find each other, or one is lost.
        ToldElsewhereError: another has failed, or was interrupted, and has told.
    """
    count = launched()
    if count == 1:
        yield ALONE
        return
    with handled(signal.SIG_DFL):  # nothing is at stake, and who waits for others is deaf
        import torch  # noqa: F401

        store = _met()
    rank = int(os.environ["RANK"])
    whole = False  # whether all have come to the end
    try:
        with handled(signal.SIG_DFL):
            found = Several(store, rank, count, device)
        yield found
        found.wait()
        whole = True
    except BaseException as error:
        by_hand = isinstance(error, KeyboardInterrupt)
        _leave_the_telling(store, rank, getattr(error, "exit_code", 130 if by_hand else 1))
        raise
    finally:
        _disband(whole)


def _disband(whole: bool) -> None:
    """End the group's threads while Python runs: one that needs it later aborts the process.

    Not on GPUs where others are lost, for whom nccl would wait.
    """
    from torch import distributed

    if not distributed.is_initialized():
        return
    if whole or "nccl" not in distributed.get_backend_config():
        distributed.destroy_process_group()


def _met() -> Store:
    """The store by which the processes know of each other."""
    from torch.distributed.rendezvous import rendezvous

    try:
        store, _, _ = next(iter(rendezvous("env://", timeout=_SILENT)))
    except (ValueError, RuntimeError) as error:
        raise CompacterError(
            f"the processes of this run do not find each other: {error}", _LAUNCH
        ) from error
    return store


def _leave_the_telling(store: Store, rank: int, code: int) -> None:
    """Return where this process is the first to end, and so the one that tells why.

    Raises:
        ToldElsewhereError: another one was first.
    """
    own = f"{rank} {code}"
    try:
        first = store.compare_set(_ENDED, "", own).decode()
    except RuntimeError:  # its process is gone
        first = own
    teller, its_code = map(int, first.split())
    if teller != rank:
        raise ToldElsewhereError(its_code) from None
    _ignore_the_launcher()


def _ignore_the_launcher() -> None:
    """Let nothing cut short how this process ends: the launcher ends whoever is left."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

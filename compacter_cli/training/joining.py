"""How the processes of a run find each other, and how all end where one does.

They are started by torchrun, which sets RANK, WORLD_SIZE and the like.
"""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, ToldElsewhereError, UsageError
from compacter_cli.training.processes import ALONE
from compacter_cli.training.several import SILENT, Several
from compacter_cli.training.signals import handled
from compacter_cli.training.telling import leave_the_telling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch.distributed.distributed_c10d import Store

    from compacter_cli.training.processes import Processes

_LAUNCH = "start them by: torchrun --nproc-per-node N -m compacter_cli train ..."


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
        leave_the_telling(store, rank, getattr(error, "exit_code", 130 if by_hand else 1))
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
        store, _, _ = next(iter(rendezvous("env://", timeout=SILENT)))
    except (ValueError, RuntimeError) as error:
        raise CompacterError(
            f"the processes of this run do not find each other: {error}", _LAUNCH
        ) from error
    return store

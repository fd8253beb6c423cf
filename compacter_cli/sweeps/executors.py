"""Where runs are run: processes of this machine, each with its share of it, or a Dask cluster."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.sweeps.children import Job, run_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from compacter_cli.sweeps.records import Outcome

CONNECT_SECONDS = 10
EXTRA = 'pip install "compacter[dask]"'


def cores() -> int:
    """CPU cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


def gpus() -> list[str]:
    """The GPUs that a process here sees, as CUDA_VISIBLE_DEVICES names them; without torch."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name.strip() for name in visible.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = [line for line in done.stdout.splitlines() if line.startswith("GPU ")]
    return [str(number) for number in range(len(lines))] if done.returncode == 0 else []


class Slots:
    """The shares of this machine that its workers take in turn: a GPU each, where there are any.

    Called with a job, it runs it in a child that has a share of its own.
    """

    def __init__(
        self,
        workers: int,
        names: list[str],
        run: Callable[[Job], Outcome] = run_in_child,
    ) -> None:
        self._free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._run = run
        for number in range(workers):
            self._free.put(names[number % len(names)] if names else None)

    def __call__(self, job: Job) -> Outcome:
        gpu = self._free.get()
        try:
            return self._run(replace(job, gpu=gpu) if gpu is not None else job)
        finally:
            self._free.put(gpu)


@contextmanager
def local_executor(workers: int) -> Iterator[Executor]:
    """Threads of this process, each of which waits for one child process at a time."""
    with ThreadPoolExecutor(workers, thread_name_prefix="sweep") as executor:
        yield executor


@contextmanager
def dask_executor(address: str) -> Iterator[Executor]:
    """The executor of a Dask cluster, by its scheduler's address.

    Raises:
        UsageError: Dask is not installed.
        CompacterError: no scheduler answers there, or it has no worker.
    """
    client = _client(address)
    try:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise CompacterError(
                f"--scheduler {address}: it has no worker yet",
                f"start some: dask worker {address} --nthreads 1 --no-nanny",
            )
        # A task whose worker is lost goes to another; runs go on from their saved states.
        yield client.get_executor(pure=False, retries=0)
    finally:
        client.close()


def _client(address: str) -> Any:
    try:
        client = import_module("distributed").Client
    except ImportError as error:
        raise UsageError("--scheduler needs Dask, which is not installed", EXTRA) from error
    try:
        return client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise CompacterError(
            f"--scheduler {address}: no Dask scheduler answers there ({type(error).__name__})",
            "start one: dask scheduler, which prints its address",
        ) from error

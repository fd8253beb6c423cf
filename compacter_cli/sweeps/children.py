"""A run in a process of its own: begun or gone on with, watched, and what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compacter_cli.sweeps.directory import STOP
from compacter_cli.sweeps.failures import log_of

if TYPE_CHECKING:
    from compacter_cli.sweeps.records import Outcome

WORKER = "compacter_cli.sweeps.worker"
LOOK_EVERY = 0.5  # seconds, whether the child has ended or is to stop
_EXIT_OF = 128  # and a signal's number


@dataclass(frozen=True)
class Job:
    """One run, as a worker on whatever machine is told of it.

    Attributes:
        directory: the sweep's, which all machines see under this name.
        run: the run's, seen from it.
        recipe: the plain recipe.
        measure: where training steps alone are measured, how: a plain `Measuring`.
        device: torch device name; `None` for a GPU where there is one.
        gpu: which of the machine's GPUs the process sees, as CUDA_VISIBLE_DEVICES has it.
        threads: CPU threads; `None` for what the machine's surroundings say.
        offline: fetch nothing.
        overwrite: begin the run again.
    """

    directory: str
    run: str
    recipe: dict[str, Any]
    device: str | None = None
    gpu: str | None = None
    threads: int | None = None
    offline: bool = False
    overwrite: bool = False
    measure: dict[str, Any] | None = None


def run_in_child(job: Job) -> Outcome:
    """Run a job in a process of its own; the process ends when this one does.

    What it says goes to the run's log. A file called `stop` in the sweep's directory ends it: it
    saves its state and leaves.
    """
    directory = Path(job.directory)
    log = log_of(directory, job.run)
    log.parent.mkdir(parents=True, exist_ok=True)
    # -P: a file of the current directory must not stand in for a library.
    command = [sys.executable, "-P", "-m", WORKER]
    with (
        open(log, "ab") as said,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=_environment(job),
            start_new_session=True,  # Ctrl-C is for whoever waits here, who tells it on
        ) as child,
    ):
        try:
            return _watched(child, json.dumps(asdict(job)).encode(), directory / STOP)
        except BaseException:
            child.kill()
            raise


def _watched(child: subprocess.Popen[bytes], asked: bytes, stop: Path) -> Outcome:
    given: bytes | None = asked
    told = False
    while True:
        try:
            printed, _ = child.communicate(given, timeout=LOOK_EVERY)
        except subprocess.TimeoutExpired:
            given = None
            if stop.exists() and not told:  # a second signal would end it at once
                child.terminate()
                told = True
            continue
        return _outcome(child.returncode, printed)


def _outcome(code: int, printed: bytes) -> Outcome:
    if code == 0 and printed:
        return json.loads(printed)
    if code in (-signal.SIGTERM, _EXIT_OF + signal.SIGTERM):
        return {"state": "stopped"}
    if code < 0:
        name = signal.Signals(-code).name
        return {"state": "died", "error": f"its process was killed ({name}), out of memory?"}
    return {"state": "failed", "error": f"its process ended with {code}", "exit_code": 1}


def _environment(job: Job) -> dict[str, str]:
    """The environment of a child: its share of threads, its own GPU."""
    more: dict[str, str] = {}
    if job.threads is not None:
        more |= {"OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
    if job.gpu is not None:
        more |= {"CUDA_VISIBLE_DEVICES": job.gpu}
    return {**os.environ, **more}

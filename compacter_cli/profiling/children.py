"""Child processes that measure: one question each, JSON in and JSON out, and what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from compacter_cli.profiling.job import Job, Probe, as_plain

if TYPE_CHECKING:
    from compacter_cli.profiling.rows import Costs, Failure, Machine

WORKER = "compacter_cli.profiling.worker"
LONGEST_REASON = 60  # of a failure, in characters


def run_probe(probe: Probe) -> Machine | Failure:
    """What a child process sees of the device."""
    return _answer(probe)


def run_job(job: Job) -> Costs | Failure:
    """What a child process measures for a job."""
    return _answer(job)


def _answer(asked: Probe | Job) -> Any:
    # -P: a file of the current directory must not stand in for a library.
    command = [sys.executable, "-P", "-m", WORKER]
    with subprocess.Popen(
        command,
        text=True,
        env=_environment(asked.threads),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as child:
        try:
            printed, errors = child.communicate(json.dumps(as_plain(asked)))
        except BaseException:  # Ctrl-C too: no child outlives its command
            child.kill()
            child.wait()
            raise
    if child.returncode == 0:
        return json.loads(printed)
    return failure(child.returncode, errors)


def failure(code: int, errors: str) -> Failure:
    """What is said of a worker that ended with `code`, not 0, having written `errors`."""
    if code < 0:
        # The system kills what takes too much; libraries abort or break where they get nothing.
        return {"failed": f"killed ({signal.Signals(-code).name}), out of memory?", "memory": True}
    lines = errors.strip().splitlines() or ["no message"]
    return {"failed": shortened(lines[-1])}


def shortened(text: str) -> str:
    """A reason that fits a table's foot."""
    first = text.strip().partition("\n")[0]
    return first if len(first) <= LONGEST_REASON else f"{first[: LONGEST_REASON - 3]}..."


def _environment(threads: int | None) -> dict[str, str] | None:
    """The environment of a child whose numeric libraries take `threads` CPU threads."""
    if threads is None:
        return None
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}

"""Child processes that measure: one job each, JSON in and JSON out, and what became of it."""

import json
import os
import signal
import subprocess
import sys

WORKER = "compacter_cli.profiling.worker"
LONGEST_REASON = 60  # of a failure, in characters


def run_job(job, threads=None):
    """What the worker measures for a job, as plain data.

    A job that fails gives `{"failed": a few words}`, with `"memory": True` where memory ran out,
    and with `"usage"` and `"hint"` where what was asked for cannot be.

    Args:
        job: plain data of a `Job`.
        threads: CPU threads of the numeric libraries, `None` for their own choice.
    """
    # -P: a file of the current directory must not stand in for a library.
    command = [sys.executable, "-P", "-m", WORKER]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env=_environment(threads), **pipes) as child:
        try:
            printed, errors = child.communicate(json.dumps(job))
        except BaseException:  # Ctrl-C too: no child outlives its command
            child.kill()
            child.wait()
            raise
    if child.returncode == 0:
        return json.loads(printed)
    return failure(child.returncode, errors)


def failure(code, errors):
    """What is said of a worker that ended with `code`, not 0, having written `errors`."""
    if code < 0:
        # The system kills what takes too much; libraries abort or break where they get nothing.
        return {"failed": f"killed ({signal.Signals(-code).name}), out of memory?", "memory": True}
    lines = errors.strip().splitlines() or ["no message"]
    return {"failed": shortened(lines[-1])}


def shortened(text):
    """A reason that fits a table's foot."""
    first = text.strip().partition("\n")[0]
    return first if len(first) <= LONGEST_REASON else f"{first[: LONGEST_REASON - 3]}..."


def _environment(threads):
    if threads is None:
        return None
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}

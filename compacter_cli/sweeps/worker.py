"""The program of a child process: one run of a sweep, told on stdin; its outcome on stdout."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import CompacterError, Interrupted, UsageError
from compacter_cli.sweeps.children import Job
from compacter_cli.training.display import Display
from compacter_cli.training.lock import check_free

if TYPE_CHECKING:
    from compacter_cli.sweeps.records import Outcome
    from compacter_cli.training.loop import Epoch

PATIENCE = 60.0  # seconds in which a run's former process saves its state and leaves
_GRACE = 120.0  # seconds after which an orphan that was told to leave is ended


class Log(Display):
    """Writes what is worth a line to stderr, which is the run's log."""

    def line(self, text: str) -> None:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def epoch(self, epoch: Epoch) -> None:
        scores = ", ".join(f"{k} {v:.2f}" for k, v in epoch.validation.metrics.items())
        self.line(f"epoch {epoch.number}: loss {epoch.loss:.4f}, validation {scores}")


def main() -> None:
    """Carry out the one job on stdin. What fails as foreseen is an outcome too."""
    threading.Thread(target=leave_with_parent, args=[os.getppid()], daemon=True).start()
    signal.signal(signal.SIGTERM, _interrupt)
    job = Job(**json.load(sys.stdin))
    answers, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    json.dump(carry_out(job), answers)


def _interrupt(signum: int, _frame: object) -> None:
    raise Interrupted(signum=signum)


def leave_with_parent(parent: int, every: float = 1.0) -> None:
    """Save and leave once the parent is gone: killed, it could not stop its child itself."""
    while os.getppid() == parent:
        time.sleep(every)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(1)


def carry_out(job: Job) -> Outcome:
    """What becomes of a job, foreseen failures included."""
    Log().line(f"-- {time.strftime('%Y-%m-%d %H:%M:%S')} process {os.getpid()}")
    try:
        wait_until_free(Path(job.directory) / job.run)
        _train(job) if job.measure is None else _measure(job, job.measure)
    except CompacterError as error:
        Log().line(f"error: {error}")
        return {
            "state": "failed",
            "error": str(error),
            "hint": error.hint,
            "exit_code": error.exit_code,
        }
    except Interrupted as error:
        Log().line(str(error))
        return {"state": "stopped"}
    return {"state": "finished"}


def wait_until_free(directory: Path, patience: float = PATIENCE) -> None:
    """Wait for the process of a worker that was killed, which is about to save and leave.

    Raises:
        UsageError: it is still there after `patience` seconds.
    """
    until = time.monotonic() + patience
    while True:
        try:
            return check_free(directory)
        except UsageError:
            if time.monotonic() > until:
                raise
        time.sleep(0.2)


def _train(job: Job) -> Any:
    from compacter_cli.recipe.recipe import recipe_of
    from compacter_cli.t5.runtime import hide_tensorflow
    from compacter_cli.training.run import train

    hide_tensorflow()
    return train(
        recipe=recipe_of(job.recipe, job.run),
        directory=Path(job.directory) / job.run,
        device=job.device,
        offline=job.offline,
        overwrite=job.overwrite,
        resume=not job.overwrite,
        display=Log(),
    )


def _measure(job: Job, how: dict[str, Any]) -> None:
    from compacter_cli.recipe.recipe import recipe_of
    from compacter_cli.sweeps.cost import measure
    from compacter_cli.sweeps.sections import Measuring

    measure(
        recipe_of(job.recipe, job.run),
        Measuring.model_validate(how),
        Path(job.directory) / job.run,
        job.device,
        job.threads,
    )


if __name__ == "__main__":
    main()

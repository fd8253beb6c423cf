"""One scheduler for all executors: jobs submitted, watched, tried again where a worker was lost."""

from __future__ import annotations

import concurrent.futures
from collections import Counter
from typing import TYPE_CHECKING

from compacter_cli.sweeps.children import run_in_child

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor, Future

    from compacter_cli.sweeps.children import Job
    from compacter_cli.sweeps.records import Outcome

ATTEMPTS = 2  # of a run whose process or worker was killed; it goes on from its saved state
LOOK_EVERY = 1.0  # seconds


def run_all(
    jobs: Iterable[Job],
    executor: Executor,
    ended: Callable[[Job, Outcome], None],
    again: Callable[[Job, Outcome], None] = lambda job, outcome: None,
    look: Callable[[], None] = lambda: None,
    run: Callable[[Job], Outcome] = run_in_child,
) -> None:
    """Run every job once, or again where it died.

    Args:
        jobs: what is to be run, first come, first served.
        executor: where: threads of this process, or a cluster's.
        ended: called with each job and what became of it.
        again: called with a job that died and is tried once more, behind those that wait.
        look: called about every second meanwhile.
        run: what an executor calls with a job.
    """
    attempts: Counter[str] = Counter()
    pending: dict[Future[Outcome], Job] = {}

    def submit(job: Job) -> None:
        attempts[job.run] += 1
        pending[executor.submit(run, job)] = job

    for job in jobs:
        submit(job)
    try:
        while pending:
            done, _ = concurrent.futures.wait(
                pending, LOOK_EVERY, concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                job, outcome = pending.pop(future), _outcome(future)
                if outcome["state"] == "died" and attempts[job.run] < ATTEMPTS:
                    again(job, outcome)
                    submit(job)
                else:
                    ended(job, outcome)
            look()
    finally:
        for future in pending:
            future.cancel()


def _outcome(future: Future[Outcome]) -> Outcome:
    """What became of a job; an executor's own error is that its worker was lost."""
    try:
        return future.result()
    except concurrent.futures.CancelledError:
        return {"state": "stopped"}
    except Exception as error:
        return {"state": "died", "error": f"its worker was lost: {type(error).__name__}: {error}"}

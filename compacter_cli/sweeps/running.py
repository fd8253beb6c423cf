"""A sweep being run: what is left to do, what became of what was done, and its end."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, Interrupted, counted
from compacter_cli.sweeps import directory as places
from compacter_cli.sweeps.children import Job
from compacter_cli.sweeps.estimates import updates_of
from compacter_cli.sweeps.failures import forget_failure, write_failure
from compacter_cli.sweeps.following import Followed, follow
from compacter_cli.sweeps.index import brought_up_to_date
from compacter_cli.sweeps.scheduler import run_all
from compacter_cli.training.run_directory import read_result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor
    from pathlib import Path

    from compacter_cli.sweeps.expansion import PlannedRun
    from compacter_cli.sweeps.records import IndexLine, Outcome
    from compacter_cli.sweeps.sections import Sweep


@dataclass(frozen=True)
class Surroundings:
    """How a sweep's runs are run, whatever they are.

    Attributes:
        device: torch device name; `None` for a GPU where there is one.
        threads: CPU threads of a run.
        offline: fetch nothing.
    """

    device: str | None = None
    threads: int | None = None
    offline: bool = False


class SweepDisplay:
    """Shows nothing: what the command's displays extend."""

    def begun(self, sweep: SweepRun) -> None:
        """The first runs are about to begin."""

    def ended(self, line: IndexLine, outcome: Outcome) -> None:
        """A run has ended."""

    def again(self, line: IndexLine, outcome: Outcome) -> None:
        """A run has died, and is tried once more."""

    def look(self, sweep: SweepRun) -> None:
        """About a second has gone by."""

    def stop(self) -> None:
        """The sweep ends, well or not."""


@dataclass
class SweepRun:
    """A sweep in progress.

    Attributes:
        directory: the sweep's.
        sweep: what was asked for.
        lines: the index, a line a planned run; two arms may plan the same one.
        updates: optimizer steps of each run; `None` where the data alone can tell.
        jobs: what is left to be run, each run once.
        apart: runs that the directory holds and that are not of the sweep any more.
        began: when, in seconds of the wall clock.
    """

    directory: Path
    sweep: Sweep
    lines: list[IndexLine]
    updates: dict[str, int | None]
    jobs: list[Job]
    apart: int = 0
    began: float = field(default_factory=time.time)
    ended: set[str] = field(default_factory=set)
    _followed: dict[str, Followed] = field(default_factory=dict)

    def running(self) -> dict[str, Followed]:
        """The runs that a process writes now, each with how far it is."""
        asked = {job.run for job in self.jobs if job.run not in self.ended}
        for run in asked:
            found = follow(self.directory / run, self.began, self._followed.get(run))
            if found is None:
                self._followed.pop(run, None)
            else:
                self._followed[run] = found
        return {run: found for run, found in self._followed.items() if run in asked}

    def line(self, run: str) -> IndexLine:
        """The line of a run, the first where several have planned it."""
        return next(line for line in self.lines if line["run"] == run)

    def note(self, job: Job, outcome: Outcome) -> IndexLine:
        """Write down what became of a job, and give its line as it is now."""
        self.ended.add(job.run)
        if outcome["state"] in ("failed", "died"):
            write_failure(self.directory, job.run, outcome)
        elif outcome["state"] == "finished":
            forget_failure(self.directory, job.run)
        self._bring_up_to_date(lambda line: line["run"] == job.run)
        return self.line(job.run)

    def look_again(self) -> None:
        """Bring the whole index up to date, and write it."""
        self._bring_up_to_date(lambda line: True)

    def _bring_up_to_date(self, which: Callable[[IndexLine], bool]) -> None:
        self.lines = [
            brought_up_to_date(self.directory, line) if which(line) else line for line in self.lines
        ]
        places.write_index(self.directory, self.lines)


def sweep_run(
    directory: Path,
    sweep: Sweep,
    runs: Iterable[PlannedRun],
    surroundings: Surroundings,
    retry: bool = False,
) -> SweepRun:
    """A sweep as it is now and what is left to do; its directory must be held.

    Args:
        directory: the sweep's.
        sweep: what was asked for.
        runs: all its runs.
        surroundings: how they are run.
        retry: run those that failed again, too.
    """
    runs = list(runs)
    lines = places.lines_of(directory, sweep, runs)
    planned = {line["run"]: run for line, run in zip(lines, runs, strict=True)}
    states = {line["run"]: line["state"] for line in lines}
    left = ("waiting", "unfinished", *(("failed",) if retry else ()))
    jobs = [
        _job(directory, sweep, name, run, surroundings)
        for name, run in planned.items()
        if states[name] in left
    ]
    retried = {job.run for job in jobs if states[job.run] == "failed"}
    for run in retried:
        forget_failure(directory, run)
    updates = {name: updates_of(run.recipe) for name, run in planned.items()}
    found = SweepRun(directory, sweep, lines, updates, jobs, places.count_apart(directory, planned))
    if retried:  # else the index says so already
        found.look_again()
    return found


def _job(
    directory: Path, sweep: Sweep, name: str, run: PlannedRun, surroundings: Surroundings
) -> Job:
    return Job(
        directory=str(directory.absolute()),
        run=name,
        recipe=run.recipe.plain(),
        device=surroundings.device,
        threads=surroundings.threads,
        offline=surroundings.offline,
        overwrite=_is_damaged(directory / name),
        measure=sweep.measure.plain() if sweep.measure else None,
    )


def _is_damaged(run: Path) -> bool:
    """Whether a run was finished and its result cannot be read: it can only begin again."""
    try:
        read_result(run)
    except CompacterError:
        return True
    return False


def carry_out(
    found: SweepRun,
    executor: Executor,
    display: SweepDisplay | None = None,
    run: Callable[[Job], Outcome] | None = None,
) -> None:
    """Run what is left of a sweep, and write down what becomes of it as it does.

    Raises:
        Interrupted: a signal came; the workers were told to save what they do, and have left.
    """
    display = display or SweepDisplay()

    def ended(job: Job, outcome: Outcome) -> None:
        display.ended(found.note(job, outcome), outcome)

    def again(job: Job, outcome: Outcome) -> None:
        display.again(found.line(job.run), outcome)

    more = {} if run is None else {"run": run}
    display.begun(found)
    stop = found.directory / places.STOP
    try:
        run_all(found.jobs, executor, ended, again, lambda: display.look(found), **more)
    except BaseException as error:
        display.stop()
        stop.touch()
        executor.shutdown(wait=True)
        if isinstance(error, KeyboardInterrupt):
            raise _interrupted(found, error) from None
        raise
    finally:
        display.stop()
        stop.unlink(missing_ok=True)
        found.look_again()


def _interrupted(found: SweepRun, error: KeyboardInterrupt) -> Interrupted:
    return Interrupted(
        f"interrupted: of {counted(len(found.jobs), 'run')} {len(found.ended)} ended, and what was "
        "running is saved; the same command goes on",
        getattr(error, "signum", signal.SIGINT),
    )

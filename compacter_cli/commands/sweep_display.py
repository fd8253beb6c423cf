"""What a sweep shows while it goes on: one live table on a terminal, a line a run elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Group
from rich.live import Live

from compacter_cli.commands.console import PlainConsole, err, table_of
from compacter_cli.commands.sweep_words import run_words
from compacter_cli.errors import counted
from compacter_cli.sweeps.index import count_states
from compacter_cli.sweeps.running import SweepDisplay, SweepRun
from compacter_cli.training.words import time_words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from compacter_cli.sweeps.following import Followed
    from compacter_cli.sweeps.records import IndexLine, Outcome

FAILURES_SHOWN = 5  # the latest
RUNNING_SHOWN = 12


class Plain(SweepDisplay):
    """A line for every run that ends."""

    def __init__(self, console: PlainConsole) -> None:
        self._console = console
        self._done, self._all = 0, 0

    def begun(self, sweep: SweepRun) -> None:
        self._all = len(sweep.jobs)
        kept = len(sweep.updates) - self._all
        what = f"{counted(self._all, 'run')} to do, {kept:,} there"
        self._console.say(f"{sweep.sweep.title}: {what} ({sweep.directory})")
        if sweep.apart:
            there = f"the directory also holds {counted(sweep.apart, 'run')} of the sweep as it was"
            self._console.say(f"{there}; kept, and left out of its index")

    def ended(self, line: IndexLine, outcome: Outcome) -> None:
        self._done += 1
        self._console.say(
            f"{self._done}/{self._all}  {run_words(line)}: {ended_words(line, outcome)}"
        )

    def again(self, line: IndexLine, outcome: Outcome) -> None:
        self._console.say(
            f"{run_words(line)}: {ended_words(line, outcome)}; it is tried once more from its "
            "saved state"
        )


class LiveTable(Plain):
    """One table that is drawn anew: runs done, running with loss and time left, failed."""

    def __init__(self, console: PlainConsole) -> None:
        super().__init__(console)
        self._live: Live | None = None
        self._failed: list[str] = []

    def begun(self, sweep: SweepRun) -> None:
        super().begun(sweep)
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def ended(self, line: IndexLine, outcome: Outcome) -> None:
        super().ended(line, outcome)
        if outcome["state"] != "finished":
            self._failed.append(f"{run_words(line)}: {ended_words(line, outcome)}")

    def look(self, sweep: SweepRun) -> None:
        if self._live is not None:
            self._live.update(screen(sweep, self._failed), refresh=True)

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()


def display_for(quiet: bool = False) -> SweepDisplay:
    """The display that fits stderr, or one that shows nothing if `quiet`."""
    if quiet:
        return SweepDisplay()
    return LiveTable(err) if err.is_terminal else Plain(err)


def ended_words(line: IndexLine, outcome: Outcome) -> str:
    """What became of a run, in a few words."""
    if outcome["state"] != "finished":
        return f"{outcome['state']}: {outcome.get('error', 'it was asked to')}"
    if "test_mean" in line:
        return f"test {line['test_mean']:.2f} in {time_words(line.get('training_seconds'))}"
    return f"{line.get('step_ms', 0):.0f} ms a step"


def screen(sweep: SweepRun, failed: list[str]) -> RenderableType:
    """A sweep as it is now: counts and time, the runs that go on, the latest that failed."""
    running = sweep.running()
    parts: list[RenderableType] = [_heading(sweep, len(running)), _running_table(sweep, running)]
    parts += [f"failed  {reason}" for reason in failed[-FAILURES_SHOWN:]]
    return Group(*parts)


def _heading(sweep: SweepRun, running: int) -> str:
    states = count_states(sweep.lines)
    todo = len(sweep.jobs)
    left = todo - len(sweep.ended)
    passed = time.time() - sweep.began
    pace = f", ETA {time_words(passed / (todo - left) * left)}" if left < todo else ""
    failed = f", {states['failed']} failed" if states["failed"] else ""
    return (
        f"{states['finished']} of {len(sweep.lines)} done, {running} running{failed}; "
        f"{time_words(passed)} gone{pace}"
    )


def _running_table(sweep: SweepRun, running: dict[str, Followed]) -> Table:
    table = table_of("running", "update", "loss", "ETA", numbers=("update", "loss", "ETA"))
    now = time.time()
    for run, found in list(running.items())[:RUNNING_SHOWN]:
        updates = sweep.updates[run]
        table.add_row(
            run_words(sweep.line(run)),
            f"{found.update:,}" + (f"/{updates:,}" if updates else ""),
            "-" if found.loss is None else f"{found.loss:.3f}",
            time_words(found.seconds_left(updates, now)),
        )
    return table

"""What a training run shows while it goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from compacter_cli.commands.console import PlainConsole, err
from compacter_cli.training.display import Display
from compacter_cli.training.lines import Lines, step_line

if TYPE_CHECKING:
    from compacter_cli.training.trainer import Update


class Plain(Lines):
    """Those lines on a console."""

    def __init__(self, console: PlainConsole) -> None:
        self._console = console

    def line(self, text: str) -> None:
        self._console.say(text)


class Live(Plain):
    """A progress bar with the latest loss and rate, and a line for every epoch above it."""

    def __init__(self, console: PlainConsole) -> None:
        super().__init__(console)
        self._bar: Progress | None = None

    def start(self, updates: int, done: int = 0) -> None:
        super().start(updates)
        self.stop()
        self._bar = _bar(self._console)  # a new one: an earlier training keeps its own
        self._task = self._bar.add_task("", total=updates, completed=done, latest="")
        self._bar.start()

    def update(self, update: Update) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=update.step, latest=step_line(update))

    def stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar(console: PlainConsole) -> Progress:
    return Progress(
        TextColumn("training"),
        BarColumn(bar_width=20),  # all of it in 80 columns
        MofNCompleteColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[latest]}"),
        console=console,
        transient=True,
    )


def display_for(quiet: bool = False) -> Display:
    """The display of a command: on stderr, or one that shows nothing if `quiet`."""
    return Display() if quiet else progress_for(err)


def progress_for(console: PlainConsole) -> Plain:
    """The display that fits a console."""
    return Live(console) if console.is_terminal else Plain(console)

"""What a training run shows while it goes on: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from compacter_cli.commands.console import PlainConsole, err
from compacter_cli.commands.words import opening_lines, scores_line
from compacter_cli.training.display import Display, Opening

if TYPE_CHECKING:
    from compacter_cli.training.loop import Epoch
    from compacter_cli.training.scoring import Scores
    from compacter_cli.training.trainer import Update


class Lines(Display):
    """A line for every epoch, and one for about every tenth of the updates."""

    _updates = 0

    def opening(self, opening: Opening) -> None:
        for line in opening_lines(opening):
            self.line(line)

    def scoring_before(self) -> None:
        self.line("scoring the test set before training ...")

    def scored_before(self, scores: Scores) -> None:
        self.line(f"before training: test {scores_line(scores)}")

    def start(self, updates: int, done: int = 0) -> None:
        self._updates = updates

    def update(self, update: Update) -> None:
        if update.step % max(1, self._updates // 10) == 0:
            self.line(f"step {update.step}/{self._updates}  {_step_line(update)}")

    def epoch(self, epoch: Epoch) -> None:
        self.line(_epoch_line(epoch))


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
            self._bar.update(self._task, completed=update.step, latest=_step_line(update))

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


def _step_line(update: Update) -> str:
    return f"loss {update.loss:.4f}  rate {update.learning_rate:.2e}"


def _epoch_line(epoch: Epoch) -> str:
    best = "  best so far" if epoch.best else ""
    return (
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, validation "
        f"{scores_line(epoch.validation)}{best}"
    )

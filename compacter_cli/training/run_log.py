"""What a run's log file is told: what its display shows, warnings, and how it ended."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from compacter_cli.training.display import Display, Opening
from compacter_cli.training.lines import Lines
from compacter_cli.training.log_file import LogFile
from compacter_cli.training.words import ending_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from compacter_cli.training.loop import Epoch
    from compacter_cli.training.records import Result
    from compacter_cli.training.scoring import Scores
    from compacter_cli.training.trainer import Update


class Written(Lines):
    """Those lines in the run's log file, and what the run came to."""

    def __init__(self) -> None:
        self._log = LogFile()

    def line(self, text: str) -> None:
        self._log.add(text)

    def writes_to(self, directory: Path) -> None:
        self._log.open(directory)

    def opening(self, opening: Opening) -> None:
        self.writes_to(opening.directory)
        super().opening(opening)

    def finished(self, result: Result) -> None:
        self.line(f"finished: test {_metrics_line(result['test']['metrics'])}")
        for line in ending_lines(result):
            self.line(line)

    def close(self) -> None:
        """Nothing more is said."""
        self._log.close()


class Both(Display):
    """What is told, told to two displays."""

    def __init__(self, first: Display, second: Display) -> None:
        self._displays = first, second

    def line(self, text: str) -> None:
        for display in self._displays:
            display.line(text)

    def writes_to(self, directory: Path) -> None:
        for display in self._displays:
            display.writes_to(directory)

    def opening(self, opening: Opening) -> None:
        for display in self._displays:
            display.opening(opening)

    def scoring_before(self) -> None:
        for display in self._displays:
            display.scoring_before()

    def scored_before(self, scores: Scores) -> None:
        for display in self._displays:
            display.scored_before(scores)

    def start(self, updates: int, done: int = 0) -> None:
        for display in self._displays:
            display.start(updates, done)

    def update(self, update: Update) -> None:
        for display in self._displays:
            display.update(update)

    def epoch(self, epoch: Epoch) -> None:
        for display in self._displays:
            display.epoch(epoch)

    def stop(self) -> None:
        for display in self._displays:
            display.stop()

    def finished(self, result: Result) -> None:
        for display in self._displays:
            display.finished(result)


@contextmanager
def logged(display: Display) -> Iterator[Display]:
    """The display beside which a run is written to its log file, with warnings and how it ended."""
    written, show = Written(), warnings.showwarning

    def also_written(message: Warning | str, kind: type[Warning], *where: Any) -> None:
        written.line(f"warning: {kind.__name__}: {message}")
        show(message, kind, *where)

    warnings.showwarning = also_written
    try:
        yield Both(display, written)
    except BaseException as error:
        written.line(f"ended: {type(error).__name__}: {error}")
        raise
    finally:
        warnings.showwarning = show
        written.close()


def _metrics_line(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in metrics.items())

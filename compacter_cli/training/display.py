"""What a run tells while it goes on, to whoever shows it: a display that shows nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.data.survey import Survey
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.shapes import T5Shape
    from compacter_cli.training.loop import Epoch
    from compacter_cli.training.records import Result
    from compacter_cli.training.scoring import Scores
    from compacter_cli.training.trainer import Update


@dataclass(frozen=True)
class Opening:
    """What a run is about to do.

    Attributes:
        recipe: resolved recipe.
        shape: dimensions of its backbone.
        sizes: examples of each split.
        truncated: sources cut to the source length, of all splits.
        updates: optimizer steps of the whole run.
        device: torch device name.
        directory: the run directory.
        unwritable: training targets of free text that the vocabulary cannot write as they are.
        processes: how many train together.
        survey: what may surprise in rows of one's own.
    """

    recipe: Recipe
    shape: T5Shape
    sizes: dict[str, int]
    truncated: int
    updates: int
    device: str
    directory: Path
    unwritable: int = 0
    processes: int = 1
    survey: Survey | None = None


class Display:
    """Shows nothing: what the displays of the command line, and anyone's own, extend."""

    def line(self, text: str) -> None:
        """Something worth a line of its own."""

    def writes_to(self, directory: Path) -> None:
        """A directory is there, and this process's to write."""

    def opening(self, opening: Opening) -> None:
        """What the run is, before it begins."""

    def scoring_before(self) -> None:
        """The untrained model is about to be scored on the test split."""

    def scored_before(self, scores: Scores) -> None:
        """What the untrained model scores."""

    def start(self, updates: int, done: int = 0) -> None:
        """The run begins: its number of updates, and how many are done already."""

    def update(self, update: Update) -> None:
        """One optimizer step is done."""

    def epoch(self, epoch: Epoch) -> None:
        """One epoch is done and scored."""

    def stop(self) -> None:
        """The training ends, well or not."""

    def finished(self, result: Result) -> None:
        """The run is tested, and its result written."""

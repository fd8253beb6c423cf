"""What a training run tells while it goes on, as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.training.display import Display, Opening
from compacter_cli.training.words import opening_lines, scores_line

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
            self.line(f"step {update.step}/{self._updates}  {step_line(update)}")

    def epoch(self, epoch: Epoch) -> None:
        self.line(_epoch_line(epoch))


def step_line(update: Update) -> str:
    """Loss and rate of an update."""
    return f"loss {update.loss:.4f}  rate {update.learning_rate:.2e}"


def _epoch_line(epoch: Epoch) -> str:
    best = "  best so far" if epoch.best else ""
    return (
        f"epoch {epoch.number}: loss {epoch.loss:.4f}, validation "
        f"{scores_line(epoch.validation)}{best}"
    )

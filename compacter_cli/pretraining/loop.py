"""The pretraining loop: Adafactor, warm-up and linear decay, clipping, a loss now and then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from compacter_cli.training.trainer import Group, Trainer, Update, linear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from compacter_cli.pretraining.batches import Batches
    from compacter_cli.pretraining.records import ValidationLine
    from compacter_cli.pretraining.sections import TrainSection
    from compacter_cli.t5.batch import Batch
    from compacter_cli.t5.model import T5Model


@dataclass(frozen=True)
class Validation:
    """The mean loss a token of the passages held out, after `step` updates."""

    step: int
    loss: float

    def record(self) -> ValidationLine:
        """The line of metrics.jsonl."""
        return {"kind": "validation", "step": self.step, "loss": self.loss}


class Pretraining:
    """A T5 in pretraining: a trainer over the text, and a validation now and then.

    Args:
        model: of the method `full`.
        batches: what is trained on.
        held_out: what is validated on.
        section: the recipe's train section.
        seed: of dropout.

    Attributes:
        trainer: what makes the updates.
    """

    def __init__(
        self,
        model: T5Model,
        batches: Batches,
        held_out: Sequence[Batch],
        section: TrainSection,
        seed: int,
    ) -> None:
        self._model, self._section, self._held_out = model, section, held_out
        self.trainer = Trainer(
            model,
            torch.optim.Adafactor(model.trained_tensors().values(), weight_decay=0.0),
            schedule_of(section),
            lambda step: Group([batches.at(step)], batches.epoch(step)),
            seed=seed,
            clip_norm=section.clip_norm,
        )

    def events(
        self, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Update | None, Validation | None]]:
        """Train to the last step, yielding its update, and a validation where due, of every step.

        The random start comes first, as `(None, Validation)`. Ends early once `stop()` is true.

        Raises:
            NotFiniteError: the loss or the gradient is not finite; that step changed nothing.
        """
        if self.trainer.update == 0:
            yield None, self.validate()
        steps = self._section.steps
        while self.trainer.update < steps and not stop():
            update = self.trainer.step()
            due = update.step % self._section.eval_every == 0 or update.step == steps
            yield update, self.validate() if due else None

    def validate(self) -> Validation:
        """The validation of the weights as they are."""
        return Validation(self.trainer.update, mean_loss(self._model, self._held_out))


def schedule_of(section: TrainSection) -> Callable[[int], float]:
    """The learning rate of every step: up, then down, and never more than Adafactor uses."""
    rate = linear(section.learning_rate, section.warmup_steps, section.steps)
    return lambda step: min(rate(step), 1 / (step + 1) ** 0.5)


@torch.no_grad()
def mean_loss(model: T5Model, batches: Sequence[Batch]) -> float:
    """Mean cross-entropy a target token over all `batches`."""
    total = sum(model.summed_loss(batch).item() for batch in batches)
    return total / sum(batch.target_tokens for batch in batches)

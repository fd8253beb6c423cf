"""The pretraining loop: Adafactor, warm-up and linear decay, clipping, a loss now and then."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from compacter_cli.errors import CompacterError
from compacter_cli.methods.base import seed_of
from compacter_cli.training.loop import Update, rate_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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


class Pretrainer:
    """A T5 in pretraining: its weights, its optimizer, and how far it is.

    Args:
        model: of the method `full`.
        batches: what is trained on.
        held_out: what is validated on.
        section: the recipe's train section.
        seed: with the step it decides dropout.

    Attributes:
        step: updates done.
    """

    def __init__(
        self,
        model: T5Model,
        batches: Batches,
        held_out: Sequence[Batch],
        section: TrainSection,
        seed: int,
    ) -> None:
        self.step = 0
        self._model, self._batches, self._section, self._seed = model, batches, section, seed
        self._held_out = held_out
        self._weights = model.trained_tensors()
        self._optimizer = torch.optim.Adafactor(self._weights.values(), weight_decay=0.0)

    def train(
        self, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[tuple[Update | None, Validation | None]]:
        """Train to the last step, yielding its update, and a validation where due, of every step.

        The random start comes first, as `(None, Validation)`. Ends early once `stop()` is true.

        Raises:
            CompacterError: the loss or the gradient is not finite; that step changed nothing.
        """
        if self.step == 0:
            yield None, self.validate()
        while self.step < self._section.steps and not stop():
            update = self._update()
            due = self.step % self._section.eval_every == 0 or self.step == self._section.steps
            yield update, self.validate() if due else None

    def _update(self) -> Update:
        section = self._section
        rate = section.learning_rate * rate_at(self.step, section.warmup_steps, section.steps)
        rate = min(rate, 1 / (self.step + 1) ** 0.5)  # Adafactor uses no more
        batch = self._batches.at(self.step)
        torch.manual_seed(seed_of(self._seed, f"dropout/{self.step}"))
        self._optimizer.zero_grad(set_to_none=True)
        loss = self._model.loss_of(batch, training=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self._weights.values(), section.clip_norm).item()
        if not (math.isfinite(loss.item()) and math.isfinite(norm)):
            raise CompacterError(
                f"the loss ({loss.item()}) or its gradient ({norm}) is not finite at step "
                f"{self.step + 1}; what was saved last is untouched",
                "begin again with a smaller train.learning_rate or a longer train.warmup_steps",
            )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        epoch = self._batches.epoch(self.step)
        self.step += 1
        return Update(self.step, epoch, loss.item(), rate, norm)

    def validate(self) -> Validation:
        """The validation of the weights as they are."""
        return Validation(self.step, mean_loss(self._model, self._held_out))

    def tensors(self) -> dict[str, torch.Tensor]:
        """All that a resumed run needs, by name: weights and the optimizer's state."""
        found = {f"weight/{name}": tensor.detach() for name, tensor in self._weights.items()}
        for name, tensor in self._weights.items():
            state = self._optimizer.state.get(tensor, {})
            found |= {f"{kind}/{name}": value for kind, value in state.items()}
        return found

    def restore(self, step: int, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go back to where `tensors` were taken, after `step` updates."""
        self.step = step
        self._model.assign({name: tensors[f"weight/{name}"] for name in self._weights})
        for key, value in tensors.items():
            kind, _, name = key.partition("/")
            if kind != "weight":
                # Adafactor counts its steps on the CPU.
                device = "cpu" if kind == "step" else self._weights[name].device
                self._optimizer.state[self._weights[name]][kind] = value.to(device)


@torch.no_grad()
def mean_loss(model: T5Model, batches: Sequence[Batch]) -> float:
    """Mean cross-entropy a target token over all `batches`."""
    total = sum(model.summed_loss(batch).item() for batch in batches)
    return total / sum(batch.target_tokens for batch in batches)

"""Forward and backward passes of a model in training, kernel by kernel or as CUDA graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from compacter_cli.t5.batch import Batch
    from compacter_cli.t5.model import T5Model


class Passes(Protocol):
    """Passes whose gradients are added up in the trained weights' `grad`."""

    def clear(self) -> None:
        """Begin anew: no gradient yet."""
        ...

    def run(self, batch: Batch, key: Sequence[int], tokens: int) -> Tensor:
        """The batch's summed loss over `tokens`, its gradient added; `key` decides dropout."""
        ...

    def combine(self, sum_: Callable[[Tensor], None]) -> None:
        """Have `sum_` put into the whole gradient, as one flat tensor, what others add to it."""
        ...

    def clip(self, largest: float) -> Tensor:
        """The norm of the whole gradient, which is scaled down to `largest` where it is longer."""
        ...

    def make_room(self) -> bool:
        """Give back what is kept for later passes, after one found no memory: whether any was."""
        ...

    def release(self) -> None:
        """Give back what is kept for later passes."""
        ...


class PlainPasses:
    """`Passes` computed kernel by kernel; nothing is kept from one to the next.

    Args:
        model: what is computed.
        parameters: what it trains.
    """

    def __init__(self, model: T5Model, parameters: Sequence[Tensor]) -> None:
        self._model, self._parameters = model, parameters

    def clear(self) -> None:
        for parameter in self._parameters:  # as `zero_grad`, which profiles itself
            parameter.grad = None

    def run(self, batch: Batch, key: Sequence[int], tokens: int) -> Tensor:
        loss = self._model.summed_loss(batch, training=True, key=key) / tokens
        loss.backward()
        return loss.detach()

    def combine(self, sum_: Callable[[Tensor], None]) -> None:
        import torch

        parts = [_gradient_of(parameter).reshape(-1) for parameter in self._parameters]
        flat = torch.cat(parts)
        sum_(flat)
        sizes = [part.numel() for part in parts]
        for parameter, part in zip(self._parameters, flat.split(sizes), strict=True):
            parameter.grad = part.view_as(parameter)

    def clip(self, largest: float) -> Tensor:
        from torch.nn.utils import clip_grad_norm_

        return clip_grad_norm_(self._parameters, largest)

    def make_room(self) -> bool:
        return False

    def release(self) -> None:
        pass


def _gradient_of(parameter: Tensor) -> Tensor:
    """Its gradient, which is 0 where no row of a batch was this process's."""
    return parameter.new_zeros(parameter.shape) if parameter.grad is None else parameter.grad


def passes_for(model: T5Model, parameters: Sequence[Tensor]) -> Passes:
    """The fastest passes that a model's execution allows."""
    from compacter_cli.t5.fused.graphs import GraphedPasses, can_be_captured

    kind = GraphedPasses if can_be_captured(model) else PlainPasses
    return kind(model, parameters)

"""The loss behind an output head: behind a frozen one its gradient is taken at once.

N labelled tokens, k hidden, V vocabulary
"""

import torch
from torch import Tensor
from torch.nn import functional

from compacter_cli.t5.lean.function import FunctionContext, once_differentiable


class FrozenHeadLoss(torch.autograd.Function):
    """Cross-entropy of `x @ table.T + bias` against `targets`, summed, in float32 at least.

    No logits are kept. `apply(x, table, bias, targets)` with `x` (N, k), `table` (V, k) that does
    not train, `bias` (V,) or `None`, and `targets` (N,).
    """

    @staticmethod
    def forward(
        ctx: FunctionContext, x: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor
    ) -> Tensor:
        needs_x, _, needs_bias, _ = ctx.needs_input_grad
        loss, d_logits = _loss_of(x, table, bias, targets)
        d_x = d_logits @ table if needs_x else None
        d_bias = d_logits.sum(0) if needs_bias else None
        ctx.save_for_backward(d_x, d_bias)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        d_x, d_bias = (None if t is None else t * gradient for t in ctx.saved_tensors)
        return d_x, None, d_bias, None


class HeadLoss(torch.autograd.Function):
    """The same where `table` trains: its gradient is a tensor of its own, to be added to in place.

    Torch's own `linear` gives a view of one, and every gradient that comes later a copy of all.
    """

    @staticmethod
    def forward(
        ctx: FunctionContext, x: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor
    ) -> Tensor:
        loss, d_logits = _loss_of(x, table, bias, targets)
        ctx.save_for_backward(x, table, d_logits)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, table, d_logits = ctx.saved_tensors
        needs_x, _, needs_bias, _ = ctx.needs_input_grad
        d_logits = d_logits * gradient
        d_x = d_logits @ table if needs_x else None
        return d_x, d_logits.T @ x, d_logits.sum(0) if needs_bias else None, None


class Late(torch.autograd.Function):
    """A tensor as it is, whose gradient comes after those of what reads it from now on.

    For autograd goes back through what was done last first.
    """

    @staticmethod
    def forward(ctx: FunctionContext, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionContext, gradient: Tensor) -> Tensor:
        return gradient


def _loss_of(
    x: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor
) -> tuple[Tensor, Tensor]:
    """The loss, and its gradient by the logits, (N, V)."""
    logits = functional.linear(x, table, bias)
    exact = logits.to(torch.promote_types(x.dtype, torch.float32))
    log_probabilities = exact.log_softmax(-1)
    loss = functional.nll_loss(log_probabilities, targets, reduction="sum")
    d_logits = log_probabilities.exp_()
    d_logits[torch.arange(len(targets), device=x.device), targets] -= 1
    return loss, d_logits.to(x.dtype)

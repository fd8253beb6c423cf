"""The loss behind a frozen output head: its gradient is taken at once, and no logits are kept.

N labelled tokens, k hidden, V vocabulary
"""

import torch
from torch import Tensor
from torch.nn import functional

from compacter_cli.t5.lean.function import FunctionContext, once_differentiable


class FrozenHeadLoss(torch.autograd.Function):
    """Cross-entropy of `x @ table.T + bias` against `targets`, summed, in float32 at least.

    `apply(x, table, bias, targets)` with `x` (N, k), `table` (V, k) that does not train, `bias`
    (V,) or `None`, and `targets` (N,).
    """

    @staticmethod
    def forward(
        ctx: FunctionContext, x: Tensor, table: Tensor, bias: Tensor | None, targets: Tensor
    ) -> Tensor:
        logits = functional.linear(x, table, bias)
        exact = logits.to(torch.promote_types(x.dtype, torch.float32))
        log_probabilities = exact.log_softmax(-1)
        loss = functional.nll_loss(log_probabilities, targets, reduction="sum")
        needs_x, _, needs_bias, _ = ctx.needs_input_grad
        d_x = d_bias = None
        if needs_x or needs_bias:
            d_logits = log_probabilities.exp_()
            d_logits[torch.arange(len(targets), device=x.device), targets] -= 1
            d_logits = d_logits.to(x.dtype)
            d_x = d_logits @ table if needs_x else None
            d_bias = d_logits.sum(0) if needs_bias else None
        ctx.save_for_backward(d_x, d_bias)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        d_x, d_bias = (None if t is None else t * gradient for t in ctx.saved_tensors)
        return d_x, None, d_bias, None

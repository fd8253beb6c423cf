"""T5's layer norm, keeping its input for the backward pass and nothing as large beside it."""

import torch
from torch import Tensor

from compacter_cli.t5.lean.function import FunctionContext, once_differentiable


class Norm(torch.autograd.Function):
    """`weight * x / sqrt(mean(x^2) + epsilon) + bias` over the last axis, in float32 at least.

    `apply(x, weight, bias, epsilon)` with `x` (..., k), `weight` (k,) and `bias` (k,) or `None`
    gives (..., k) in the dtype of `x`.
    """

    @staticmethod
    def forward(
        ctx: FunctionContext, x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float
    ) -> Tensor:
        exact = _exact(x)
        length = torch.linalg.vector_norm(exact, dim=-1, keepdim=True)
        scale = torch.rsqrt(length.square().div_(x.shape[-1]).add_(epsilon))
        normed = (exact * scale).mul_(weight)
        if bias is not None:
            normed.add_(bias)
        ctx.save_for_backward(x, weight, scale)
        return normed.to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        needs_x, needs_weight, needs_bias, _ = ctx.needs_input_grad
        k = x.shape[-1]
        exact, gradient, scale = (_exact(t).reshape(-1, t.shape[-1]) for t in (x, gradient, scale))
        product = gradient * exact
        d_x = d_weight = None
        if needs_weight:
            d_weight = scale[:, 0] @ product
        if needs_x:
            share = (product @ weight)[:, None] * scale.pow(3) / k
            d_x = (gradient * weight).mul_(scale).addcmul_(exact, share, value=-1)
            d_x = d_x.to(x.dtype).view(x.shape)
        return d_x, d_weight, gradient.sum(0) if needs_bias else None, None


def _exact(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))

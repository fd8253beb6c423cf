"""T5's layer norm, keeping its input for the backward pass and nothing as large beside it."""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from compacter_cli.t5.bits import exact
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
        normed, scale = _normed(x, weight, bias, epsilon)
        ctx.save_for_backward(x, weight, scale)
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, scale = ctx.saved_tensors
        return *_gradients(gradient, x, weight, scale, ctx.needs_input_grad[:3]), None


class _LinearsContext(FunctionContext, Protocol):
    epsilon: float


class NormedLinears(torch.autograd.Function):
    """Several linears of the same normed input: `Norm` of `x` (N, k), times each weight.

    `apply(x, weight, bias, epsilon, *pairs)`, `pairs` a weight (k, outputs) and its bias (outputs,)
    or `None` one after another, gives as many (N, outputs). The normed input is not kept but
    computed again, where a weight trains.
    """

    @staticmethod
    def forward(
        ctx: _LinearsContext,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        epsilon: float,
        *pairs: Tensor | None,
    ) -> tuple[Tensor, ...]:
        normed, scale = _normed(x, weight, bias, epsilon)
        ctx.epsilon = epsilon
        ctx.save_for_backward(x, weight, bias, scale, *pairs[::2])
        return tuple(
            normed @ w if b is None else torch.addmm(b, normed, w)
            for w, b in zip(pairs[::2], pairs[1::2], strict=True)
            if w is not None
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: _LinearsContext, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, scale, *linears = ctx.saved_tensors
        needs, needs_each = ctx.needs_input_grad[:3], ctx.needs_input_grad[4:]
        found: list[Tensor | None] = [None] * len(needs_each)
        if any(needs_each[::2]):
            normed, _ = _normed(x, weight, bias, ctx.epsilon)
            found[::2] = _where(needs_each[::2], lambda g: normed.mT @ g, gradients)
        found[1::2] = _where(needs_each[1::2], lambda g: g.sum(0), gradients)
        if not any(needs):  # before everything that trains: the first block of LoRA's
            return None, None, None, None, *found
        d_normed = gradients[0] @ linears[0].mT
        for gradient, linear in zip(gradients[1:], linears[1:], strict=True):
            d_normed.addmm_(gradient, linear.mT)
        return *_gradients(d_normed, x, weight, scale, needs), None, *found


def _where(
    needed: Iterable[bool], function: Callable[[Tensor], Tensor], gradients: Iterable[Tensor]
) -> list[Tensor | None]:
    return [function(g) if n else None for n, g in zip(needed, gradients, strict=True)]


def _normed(
    x: Tensor, weight: Tensor, bias: Tensor | None, epsilon: float
) -> tuple[Tensor, Tensor]:
    """The normed `x`, and its factor (..., 1) before `weight`."""
    values = x.to(exact(x.dtype))
    length = torch.linalg.vector_norm(values, dim=-1, keepdim=True)
    scale = length.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
    normed = (values * scale).mul_(weight)
    if bias is not None:
        normed.add_(bias)
    return normed.to(x.dtype), scale


def _gradients(
    gradient: Tensor, x: Tensor, weight: Tensor, scale: Tensor, needs: tuple[bool, ...]
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Those of `x`, `weight` and the bias, given that of the normed `x`."""
    k, kind = x.shape[-1], exact(x.dtype)
    values, gradient = x.to(kind).view(-1, k), gradient.to(kind).reshape(-1, k)
    scale = scale.view(-1, 1)
    needs_x, needs_weight, needs_bias = needs
    product = gradient * values
    d_x = d_weight = None
    if needs_weight:
        d_weight = scale.view(-1) @ product
    if needs_x:
        share = torch.mv(product, weight).view(-1, 1).mul_(scale.pow(3)).div_(k)
        d_x = (gradient * weight).mul_(scale).addcmul_(values, share, value=-1)
        d_x = d_x.to(x.dtype).view(x.shape)
    return d_x, d_weight, gradient.sum(0) if needs_bias else None

"""T5's feed-forward without the activations that its backward pass can do without.

N tokens, k hidden, F inner
"""

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from compacter_cli.t5.bits import factor_blocks, pack_positive
from compacter_cli.t5.lean.drop import Drop
from compacter_cli.t5.lean.function import FunctionContext, once_differentiable

Activation: TypeAlias = Callable[[Tensor], Tensor]


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight + bias` for `x` (..., inputs) and `weight` (inputs, outputs)."""
    y = x @ weight
    return y if bias is None else y.add_(bias)


class _ReluContext(FunctionContext, Protocol):
    trains_out: bool


class ReluFeedForward(torch.autograd.Function):
    """`drop(relu(x @ w_in + b_in)) @ w_out`.

    `apply(x, w_in, b_in, w_out, keep_mask, scale)` with `x` (N, k), `w_in` (k, F), `b_in` (F,) or
    `None`, `w_out` (F, k), and dropout's packed bits over (N, F) or `None` with its scale. For the
    backward pass one bit an inner element is enough; only where `w_out` trains, the elements
    themselves are kept.
    """

    @staticmethod
    def forward(
        ctx: _ReluContext,
        x: Tensor,
        w_in: Tensor,
        b_in: Tensor | None,
        w_out: Tensor,
        keep_mask: Tensor | None,
        scale: float,
    ) -> Tensor:
        inner = linear(x, w_in, b_in).relu_()
        if keep_mask is not None:
            scale_(inner, keep_mask, scale)
        ctx.scale = scale
        ctx.trains_out = ctx.needs_input_grad[3]
        passed = None
        if any(ctx.needs_input_grad):
            passed = inner if ctx.trains_out else pack_positive(inner)
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, w_in, w_out, passed)
        return inner @ w_out

    @staticmethod
    @once_differentiable
    def backward(ctx: _ReluContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, w_in, w_out, passed = ctx.saved_tensors
        needs_x, needs_in, needs_bias = ctx.needs_input_grad[:3]
        d_inner = gradient @ w_out.T
        d_out = None
        if ctx.trains_out:
            d_out = passed.T @ gradient
            torch.ops.aten.threshold_backward.grad_input(d_inner, passed, 0, grad_input=d_inner)
            d_inner.mul_(ctx.scale)
        else:
            scale_(d_inner, passed, ctx.scale)
        return (
            d_inner @ w_in.T if needs_x else None,
            x.T @ d_inner if needs_in else None,
            d_inner.sum(0) if needs_bias else None,
            d_out,
            None,
            None,
        )


class _ActivatedContext(FunctionContext, Protocol):
    activation: Activation


class ActivatedFeedForward(torch.autograd.Function):
    """`drop(activation(x @ w_in + b_in) * (x @ w_gate + b_gate)) @ w_out`, any activation.

    `apply(x, w_in, b_in, w_gate, b_gate, w_out, keep_mask, scale, activation)`: as
    `ReluFeedForward`, with `w_gate` `None` where nothing is gated. The backward pass keeps both
    products and takes the activation again.
    """

    @staticmethod
    def forward(
        ctx: _ActivatedContext,
        x: Tensor,
        w_in: Tensor,
        b_in: Tensor | None,
        w_gate: Tensor | None,
        b_gate: Tensor | None,
        w_out: Tensor,
        keep_mask: Tensor | None,
        scale: float,
        activation: Activation,
    ) -> Tensor:
        before = linear(x, w_in, b_in)
        gate = None if w_gate is None else linear(x, w_gate, b_gate)
        ctx.scale, ctx.activation = scale, activation
        trains_linear = ctx.needs_input_grad[1] or ctx.needs_input_grad[3]
        saved_x = x if trains_linear else None
        ctx.save_for_backward(saved_x, w_in, w_gate, w_out, before, gate, keep_mask)
        return _inner(before, gate, keep_mask, scale, activation) @ w_out

    @staticmethod
    @once_differentiable
    def backward(ctx: _ActivatedContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, w_in, w_gate, w_out, before, gate, keep_mask = ctx.saved_tensors
        needs_x, needs_in, needs_in_bias, needs_gate, needs_gate_bias, needs_out = (
            ctx.needs_input_grad[:6]
        )
        before, *gates = (t.detach().requires_grad_() for t in (before, gate) if t is not None)
        gate = gates[0] if gates else None
        with torch.enable_grad():
            inner = _inner(before, gate, keep_mask, ctx.scale, ctx.activation)
        d_before, *d_gates = torch.autograd.grad(inner, [before, *gates], gradient @ w_out.T)
        d_gate = d_gates[0] if d_gates else None
        d_x = None
        if needs_x:
            d_x = d_before @ w_in.T
            if d_gate is not None:
                d_x.addmm_(d_gate, w_gate.T)
        return (
            d_x,
            x.T @ d_before if needs_in else None,
            d_before.sum(0) if needs_in_bias else None,
            x.T @ d_gate if needs_gate else None,
            d_gate.sum(0) if needs_gate_bias and d_gate is not None else None,
            inner.detach().T @ gradient if needs_out else None,
            None,
            None,
            None,
        )


def _inner(
    before: Tensor,
    gate: Tensor | None,
    keep_mask: Tensor | None,
    scale: float,
    activation: Activation,
) -> Tensor:
    inner = activation(before)
    if gate is not None:
        inner = inner * gate
    if keep_mask is None:
        return inner
    return Drop.apply(inner, keep_mask, scale)


def scale_(x: Tensor, bits: Tensor, scale: float) -> None:
    """Multiply a contiguous `x` in place by `scale` where the packed bit is set, else by 0."""
    for factors, part in factor_blocks(bits, scale, x):
        part.mul_(factors)

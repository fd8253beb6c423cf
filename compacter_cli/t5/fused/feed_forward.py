"""The feed-forward's inner elements, dropped, with little kept for the backward pass."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from compacter_cli.t5.lean.feed_forward import Activation
from compacter_cli.t5.lean.function import FunctionContext, once_differentiable


class _ReluContext(FunctionContext, Protocol):
    kept_whole: bool


class ReluDrop(torch.autograd.Function):
    """`dropout(relu(x), rate)`.

    `apply(x, rate, keep)`: a byte an element is kept, whether it passes; with `keep` the result
    itself, which a product whose weight trains keeps anyway.
    """

    @staticmethod
    def forward(ctx: _ReluContext, x: Tensor, rate: float, keep: bool) -> Tensor:
        y = torch.relu(x)
        if rate:
            y, _ = torch.native_dropout(y, rate, True)
        ctx.scale, ctx.kept_whole = 1 / (1 - rate), keep
        ctx.save_for_backward(y if keep else y != 0)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: _ReluContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (passed,) = ctx.saved_tensors
        if ctx.kept_whole:
            passed = passed != 0
        return torch.ops.aten.native_dropout_backward(gradient, passed, ctx.scale), None, None


class _ActivatedContext(FunctionContext, Protocol):
    activation: Activation


class ActivatedDrop(torch.autograd.Function):
    """`dropout(activation(x) * gate, rate)`, any activation.

    `apply(x, gate, rate, activation)`, `gate` `None` where nothing is gated. Both inputs are kept,
    and a byte an element of dropout; the activation is taken again in the backward pass.
    """

    @staticmethod
    def forward(
        ctx: _ActivatedContext, x: Tensor, gate: Tensor | None, rate: float, activation: Activation
    ) -> Tensor:
        y, kept = _gated(x, gate, activation), None
        if rate:
            y, kept = torch.native_dropout(y, rate, True)
        ctx.scale, ctx.activation = 1 / (1 - rate), activation
        ctx.save_for_backward(x, gate, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: _ActivatedContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, gate, kept = ctx.saved_tensors
        if kept is not None:
            gradient = torch.ops.aten.native_dropout_backward(gradient, kept, ctx.scale)
        inputs = [t.detach().requires_grad_() for t in (x, gate) if t is not None]
        with torch.enable_grad():
            y = _gated(inputs[0], inputs[1] if len(inputs) > 1 else None, ctx.activation)
        d_x, *d_gate = torch.autograd.grad(y, inputs, gradient)
        return d_x, d_gate[0] if d_gate else None, None, None


def _gated(x: Tensor, gate: Tensor | None, activation: Activation) -> Tensor:
    y = activation(x)
    return y if gate is None else y * gate

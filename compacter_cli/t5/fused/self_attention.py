"""Self-attention whose queries, keys and values are not kept: the backward pass makes them again.

B batch, H heads, L length, D size of a head, k hidden
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from torch import Tensor
from torch.backends.cuda import SDPAParams, can_use_efficient_attention

from compacter_cli.t5.lean.function import FunctionContext, once_differentiable

Made: TypeAlias = tuple[Tensor, Tensor, Tensor]  # queries, keys and values, each (B, H, L, D)


def can_be_remade(made: Made, bias: Tensor, rate: float) -> bool:
    """Whether `RemadeAttention` computes these queries, keys and values, and it pays to."""
    if not any(x.requires_grad for x in made):
        return False
    queries, keys, values = made
    params = SDPAParams(queries, keys, values, bias, rate, False, False)
    return can_use_efficient_attention(params)


class _Context(FunctionContext, Protocol):
    make: Callable[[Tensor], Made]
    rate: float


class RemadeAttention(torch.autograd.Function):
    """What torch's memory-efficient `scaled_dot_product_attention` gives, (B, H, L, D).

    `apply(queries, keys, values, bias, x, make, rate)`: with `bias` (B, H, L, L) added to the
    scores and dropout of `rate`. Instead of queries, keys and values the hidden states `x` that
    they were made of are kept, which a norm keeps anyway; `make(x)` makes the three again.
    """

    @staticmethod
    def forward(
        ctx: _Context,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        bias: Tensor,
        x: Tensor,
        make: Callable[[Tensor], Made],
        rate: float,
    ) -> Tensor:
        context, *drawn = torch.ops.aten._scaled_dot_product_efficient_attention(
            queries, keys, values, bias, True, rate, scale=1.0
        )
        ctx.make, ctx.rate = make, rate
        ctx.save_for_backward(bias, x, context, *drawn)
        return context

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        bias, x, *kept = ctx.saved_tensors
        wanted = [True, True, True, ctx.needs_input_grad[3]]
        *gradients, d_bias = torch.ops.aten._scaled_dot_product_efficient_attention_backward(
            gradient, *ctx.make(x), bias, *kept, ctx.rate, wanted, scale=1.0
        )
        return *gradients, d_bias if wanted[3] else None, None, None, None

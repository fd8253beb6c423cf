"""Cross-attention of a few queries to encoder states themselves.

B batch, T target, S source, k hidden, H heads
"""

from typing import Protocol

import torch
from torch import Tensor

from compacter_cli.t5.absorbing import heads_first, rows_first
from compacter_cli.t5.bits import exact
from compacter_cli.t5.kernels import MASKED
from compacter_cli.t5.lean.attention import softmax_backward
from compacter_cli.t5.lean.drop import dropped
from compacter_cli.t5.lean.feed_forward import scale_
from compacter_cli.t5.lean.function import FunctionContext, once_differentiable
from compacter_cli.t5.lean.pairs import Pairs


class _Context(FunctionContext, Protocol):
    pairs: Pairs


class Mixed(torch.autograd.Function):
    """What queries mix of encoder states, (H, B T, k), and their weights' sums, (H, B T, 1).

    `apply(taken, constant, states, keep_mask, scale, pairs)`: queries `taken` to the states,
    (H, B T, k); `constant` (H, B T, 1) on the scores of each, or `None`; `states` (B, S, k);
    dropout's packed `keep_mask`, as `pairs.keep_mask` gives it, or `None`, and its `scale`;
    `Pairs` of target and source, padded. The backward pass keeps queries, attention
    weights and what it was given of states and dropout.
    """

    @staticmethod
    def forward(
        ctx: _Context,
        taken: Tensor,
        constant: Tensor | None,
        states: Tensor,
        keep_mask: Tensor | None,
        scale: float,
        pairs: Pairs,
    ) -> tuple[Tensor, Tensor]:
        rows, heads, _, _ = pairs.shape
        taken = rows_first(taken, rows)
        scores = torch.bmm(taken, states.mT)  # (B, H T, S)
        if constant is not None:
            scores.add_(rows_first(constant, rows))
        if pairs.unseen is not None:
            scores.view(pairs.shape).masked_fill_(pairs.unseen, MASKED)
        weights = scores.to(exact(scores.dtype)).softmax(-1)
        shares = _shares(weights, keep_mask, scale, states.dtype)
        ctx.scale, ctx.pairs = scale, pairs
        ctx.save_for_backward(taken, states, keep_mask, weights)
        mass = shares.sum(-1, keepdim=True)
        return heads_first(torch.bmm(shares, states), heads), heads_first(mass, heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, d_mixed: Tensor, d_mass: Tensor) -> tuple[Tensor | None, ...]:
        taken, states, keep_mask, weights = ctx.saved_tensors
        rows, heads, _, _ = ctx.pairs.shape
        d_mixed = rows_first(d_mixed, rows)
        d_shares = torch.bmm(d_mixed, states.mT).add_(rows_first(d_mass, rows))
        if keep_mask is not None:
            scale_(d_shares, keep_mask, ctx.scale)
        d_scores = softmax_backward(d_shares.to(weights.dtype), weights).to(states.dtype)
        d_constant = d_states = None
        if ctx.needs_input_grad[1]:
            d_constant = heads_first(d_scores.sum(-1, keepdim=True), heads)
        if ctx.needs_input_grad[2]:
            shares = _shares(weights, keep_mask, ctx.scale, states.dtype)
            d_states = torch.bmm(shares.mT, d_mixed).baddbmm_(d_scores.mT, taken)
        d_taken = heads_first(torch.bmm(d_scores, states), heads)
        return d_taken, d_constant, d_states, None, None, None


def _shares(weights: Tensor, bits: Tensor | None, scale: float, dtype: torch.dtype) -> Tensor:
    """Attention weights after dropout, in `dtype`."""
    weights = weights.to(dtype)
    return weights if bits is None else dropped(weights, bits, scale)

"""Cross-attention of a few queries, in which encoder keys and values are never built.

B batch, T target, S source, k hidden, H heads, D size of a head
"""

from typing import Protocol

import torch
from torch import Tensor

from compacter_cli.t5.bits import exact
from compacter_cli.t5.kernels import MASKED, Projection
from compacter_cli.t5.lean.attention import softmax_backward
from compacter_cli.t5.lean.drop import dropped
from compacter_cli.t5.lean.feed_forward import scale_
from compacter_cli.t5.lean.function import FunctionContext, once_differentiable
from compacter_cli.t5.lean.pairs import Pairs


def absorbing_is_cheaper(target: int, source: int, head: int) -> bool:
    """Whether T queries cost less taken to the states than keys and values of S states built."""
    return target * (source + head) < source * head


def absorbed(
    queries: Tensor,
    states: Tensor,
    key: Projection,
    value: Projection,
    pairs: Pairs,
    keep_mask: Tensor | None = None,
    scale: float = 1.0,
) -> Tensor:
    """Attention of flat `queries` (N, H D) to encoder `states` (B, S, k), gives (N, H D).

    `(q W) . s = q . (W s)`: each head's query is taken through its part of the key projection to
    the states' own dimension, and what is mixed of the states comes back through the value
    projection.

    Args:
        queries: real target tokens' queries, (N, H D).
        states: encoder states, (B, S, k).
        key: `(weight, bias)` of the key projection, (k, H D) and (H D,) or `None`.
        value: the same of the value projection.
        pairs: `Pairs` of target and source, padded.
        keep_mask: dropout's packed bits, as `pairs.keep_mask` gives them, or `None`.
        scale: of dropout.
    """
    return _Absorbed.apply(queries, states, *key, *value, keep_mask, scale, pairs)


class _Context(FunctionContext, Protocol):
    pairs: Pairs


class _Absorbed(torch.autograd.Function):
    """`absorbed`, of whose products the backward pass keeps the queries at the states."""

    @staticmethod
    def forward(
        ctx: _Context,
        queries: Tensor,
        states: Tensor,
        w_key: Tensor,
        b_key: Tensor | None,
        w_value: Tensor,
        b_value: Tensor | None,
        keep_mask: Tensor | None,
        scale: float,
        pairs: Pairs,
    ) -> Tensor:
        rows, heads, _, _ = pairs.shape
        asked = _split(pairs, queries)
        taken = _by_row(torch.bmm(asked, _per_head(w_key, heads).mT), rows)
        scores = torch.bmm(taken, states.mT)  # (B, H T, S)
        if b_key is not None:
            constant = (asked * b_key.view(heads, 1, -1)).sum(-1, keepdim=True)
            scores.add_(_by_row(constant, rows))
        if pairs.unseen is not None:
            scores.view(pairs.shape).masked_fill_(pairs.unseen, MASKED)
        weights = scores.to(exact(scores.dtype)).softmax(-1)
        shares = _shares(weights, keep_mask, scale, states.dtype)
        mixed = _by_head(torch.bmm(shares, states), heads)
        context = torch.bmm(mixed, _per_head(w_value, heads))
        if b_value is not None:
            mass = _by_head(shares.sum(-1, keepdim=True), heads)
            context.addcmul_(mass, b_value.view(heads, 1, -1))
        ctx.scale, ctx.pairs = scale, pairs
        ctx.save_for_backward(
            queries, states, w_key, b_key, w_value, b_value, keep_mask, taken, weights,
            mixed if ctx.needs_input_grad[4] else None,
        )  # fmt: skip
        return _join(pairs, context)

    @staticmethod
    @once_differentiable
    def backward(ctx: _Context, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (queries, states, w_key, b_key, w_value, b_value, keep_mask, taken, weights,
         mixed) = ctx.saved_tensors  # fmt: skip
        needs = ctx.needs_input_grad
        rows, heads, _, _ = ctx.pairs.shape
        d_context = _split(ctx.pairs, gradient)
        d_mixed = _by_row(torch.bmm(d_context, _per_head(w_value, heads).mT), rows)
        shares = _shares(weights, keep_mask, ctx.scale, states.dtype)
        d_shares = torch.bmm(d_mixed, states.mT)
        d_b_value = None
        if b_value is not None:
            d_mass = (d_context * b_value.view(heads, 1, -1)).sum(-1, keepdim=True)
            d_shares.add_(_by_row(d_mass, rows))
            mass = _by_head(shares.sum(-1, keepdim=True), heads)
            d_b_value = (mass * d_context).sum(1).view(-1)
        if keep_mask is not None:
            scale_(d_shares, keep_mask, ctx.scale)
        d_scores = softmax_backward(d_shares.to(weights.dtype), weights).to(states.dtype)
        d_taken = _by_head(torch.bmm(d_scores, states), heads)
        d_asked = torch.bmm(d_taken, _per_head(w_key, heads))
        asked, d_b_key = _split(ctx.pairs, queries), None
        if b_key is not None:
            d_constant = _by_head(d_scores.sum(-1, keepdim=True), heads)
            d_asked.addcmul_(d_constant, b_key.view(heads, 1, -1))
            d_b_key = (d_constant * asked).sum(1).view(-1)
        d_states = None
        if needs[1]:
            d_states = torch.bmm(shares.mT, d_mixed).baddbmm_(d_scores.mT, taken)
        return (
            _join(ctx.pairs, d_asked),
            d_states,
            _of_heads(torch.bmm(d_taken.mT, asked)) if needs[2] else None,
            d_b_key,
            _of_heads(torch.bmm(mixed.mT, d_context)) if needs[4] else None,
            d_b_value,
            None,
            None,
            None,
        )


def _shares(weights: Tensor, bits: Tensor | None, scale: float, dtype: torch.dtype) -> Tensor:
    """Attention weights after dropout, in `dtype`."""
    weights = weights.to(dtype)
    return weights if bits is None else dropped(weights, bits, scale)


def _split(pairs: Pairs, flat: Tensor) -> Tensor:
    """Flat target tokens (N, H D) by heads, padded: (H, B T, D)."""
    padded = pairs.queries.spread(flat).view(-1, pairs.heads, flat.shape[1] // pairs.heads)
    return padded.transpose(0, 1)


def _join(pairs: Pairs, x: Tensor) -> Tensor:
    """`_split` undone."""
    return pairs.queries.gather(x.transpose(0, 1).flatten(1))


def _per_head(weight: Tensor, heads: int) -> Tensor:
    return weight.view(len(weight), heads, -1).transpose(0, 1)  # (H, k, D)


def _of_heads(weight: Tensor) -> Tensor:
    """`_per_head` undone: (k, H D)."""
    return weight.transpose(0, 1).flatten(1)


def _by_row(x: Tensor, rows: int) -> Tensor:
    """(H, B T, n) to (B, H T, n)."""
    return x.view(len(x), rows, -1, x.shape[2]).transpose(0, 1).reshape(rows, -1, x.shape[2])


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(B, H T, n) to (H, B T, n)."""
    return x.view(len(x), heads, -1, x.shape[2]).transpose(0, 1).reshape(heads, -1, x.shape[2])

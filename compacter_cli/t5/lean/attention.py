"""Attention whose backward pass computes its weights again from queries and keys: none are kept.

N query tokens, M key tokens, H heads, D size of a head
"""

from typing import Protocol

import torch
from torch import Tensor

from compacter_cli.t5.bits import exact, factors
from compacter_cli.t5.kernels import MASKED
from compacter_cli.t5.lean.function import FunctionContext, once_differentiable
from compacter_cli.t5.lean.pairs import Pairs, Span


class _AttentionContext(FunctionContext, Protocol):
    pairs: Pairs


class Attention(torch.autograd.Function):
    """T5's attention, whose scores are not scaled, over real tokens.

    `apply(queries, keys, values, bias, keep_mask, scale, pairs)` with `queries` (N, H D), `keys`
    and `values` (M, H D), `bias` of scores (1, H, Q, K) or `None`, dropout's packed bits as
    `pairs.keep_mask` gives them or `None`, its scale, and the `Pairs`. Gives (N, H D).
    """

    @staticmethod
    def forward(
        ctx: _AttentionContext,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        bias: Tensor | None,
        keep_mask: Tensor | None,
        scale: float,
        pairs: Pairs,
    ) -> Tensor:
        ctx.save_for_backward(queries, keys, values, bias, keep_mask)
        ctx.scale, ctx.pairs = scale, pairs
        queries, keys, values = pairs.pad(queries, keys, values)
        context = torch.empty_like(queries)
        for span in pairs.spans:
            q, k = _heads(queries, span.queries, span), _heads(keys, span.keys, span)
            weights = _weights(q, k, bias, span, pairs.unseen)
            if keep_mask is not None:
                weights.mul_(_factors(keep_mask, scale, span, weights))
            v = _heads(values, span.keys, span)
            _put(context, span.queries, torch.bmm(_flat(weights, q.dtype), v), span)
        return pairs.unpad(context)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: _AttentionContext, gradient: Tensor) -> tuple[Tensor | None, ...]:
        queries, keys, values, bias, keep_mask = ctx.saved_tensors
        pairs = ctx.pairs
        gradient, keys, values = pairs.pad(gradient, keys, values)
        (queries,) = pairs.pad(queries)
        d_queries, d_keys, d_values = map(torch.empty_like, (queries, keys, values))
        d_bias = None
        if ctx.needs_input_grad[3]:  # summed over rows, in float32 at least
            d_bias = torch.zeros_like(bias, dtype=exact(bias.dtype))
        for span in pairs.spans:
            q, g = _heads(queries, span.queries, span), _heads(gradient, span.queries, span)
            k, v = _heads(keys, span.keys, span), _heads(values, span.keys, span)
            weights = _weights(q, k, bias, span, pairs.unseen)
            d_weights = torch.bmm(g, v.mT).view(span.shape).to(weights.dtype)
            dropped = weights
            if keep_mask is not None:
                factor = _factors(keep_mask, ctx.scale, span, weights)
                dropped = weights * factor
                d_weights = d_weights.mul_(factor)
            _put(d_values, span.keys, torch.bmm(_flat(dropped, q.dtype).mT, g), span)
            d_scores = softmax_backward(d_weights, weights)
            if d_bias is not None:
                _within(d_bias, span).add_(d_scores.sum(0, keepdim=True))
            d_scores = _flat(d_scores, q.dtype)
            _put(d_queries, span.queries, torch.bmm(d_scores, k), span)
            _put(d_keys, span.keys, torch.bmm(d_scores.mT, q), span)
        if d_bias is not None:
            d_bias = d_bias.to(bias.dtype)
        return *pairs.unpad(d_queries, d_keys, d_values), d_bias, None, None, None


def _heads(tokens: Tensor, part: slice, span: Span) -> Tensor:
    """A part of tokens (rows * length, H D) as (rows * H, length, D); of one row without a copy."""
    rows, heads = span.shape[:2]
    size = tokens.shape[1] // heads
    if rows == 1:
        return tokens[part].view(-1, heads, size).transpose(0, 1)
    return tokens.view(rows, -1, heads, size).transpose(1, 2).flatten(0, 1)


def _put(tokens: Tensor, part: slice, x: Tensor, span: Span) -> None:
    """Write `x` (rows * H, length, D) to a part of `tokens` (rows * length, H D)."""
    rows, heads = span.shape[:2]
    if rows == 1:
        tokens[part].view(-1, heads, x.shape[2]).copy_(x.transpose(0, 1))
    else:
        x = x.view(rows, heads, -1, x.shape[2]).transpose(1, 2)
        tokens.view(rows, -1, heads, x.shape[3]).copy_(x)


def _weights(
    q: Tensor, k: Tensor, bias: Tensor | None, span: Span, unseen: Tensor | None
) -> Tensor:
    """Attention weights of a span before dropout, (rows, H, queries, keys), in float32 at least."""
    scores = torch.bmm(q, k.mT).view(span.shape)
    if bias is not None:
        scores.add_(_within(bias, span))
    if unseen is not None:
        scores.masked_fill_(unseen, MASKED)
    return scores.to(exact(q.dtype)).softmax(-1)


def _within(bias: Tensor, span: Span) -> Tensor:
    """What of `bias` (1, H, Q, K) is of a span."""
    queries, keys = span.shape[2:]
    return bias if bias.shape[2:] == (queries, keys) else bias[..., :queries, :keys]


def _factors(keep_mask: Tensor, scale: float, span: Span, weights: Tensor) -> Tensor:
    return factors(keep_mask, scale, weights.dtype, span.start, span.stop).view(span.shape)


def _flat(weights: Tensor, dtype: torch.dtype) -> Tensor:
    return weights.flatten(0, 1).to(dtype)


def softmax_backward(gradient: Tensor, weights: Tensor) -> Tensor:
    """The gradient of what the softmax that gave `weights` was taken of."""
    return torch.ops.aten._softmax_backward_data(gradient, weights, -1, weights.dtype)

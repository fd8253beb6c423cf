"""Attention that keeps no shares: the backward pass computes them again from queries and keys.

N query tokens, M key tokens, H heads, D size of a head
"""

import torch
from torch.autograd.function import once_differentiable

from compacter_cli.t5.bits import factors

MASKED = -1e9  # score of keys that must not be seen


class Attention(torch.autograd.Function):
    """T5's attention, whose scores are not scaled, over real tokens.

    `apply(queries, keys, values, bias, kept, scale, pairs)` with `queries` (N, H D), `keys` and
    `values` (M, H D), `bias` of scores (1, H, Q, K) or `None`, dropout's packed bits as
    `pairs.kept` gives them or `None`, its scale, and the `Pairs`. Gives (N, H D).
    """

    @staticmethod
    def forward(ctx, queries, keys, values, bias, kept, scale, pairs):
        ctx.save_for_backward(queries, keys, values, bias, kept)
        ctx.scale, ctx.pairs = scale, pairs
        queries, keys, values = pairs.pad(queries, keys, values)
        mixed = torch.empty_like(queries)
        for span in pairs.spans:
            q, k = _heads(queries[span.queries], span), _heads(keys[span.keys], span)
            shares = _shares(q, k, bias, span, pairs.unseen)
            if kept is not None:
                shares.mul_(_factors(kept, scale, span, shares))
            v = _heads(values[span.keys], span)
            _put(mixed[span.queries], _flat(shares, q.dtype) @ v, span)
        return pairs.unpad(mixed)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        queries, keys, values, bias, kept = ctx.saved_tensors
        pairs = ctx.pairs
        gradient, keys, values = pairs.pad(gradient, keys, values)
        (queries,) = pairs.pad(queries)
        d_queries, d_keys, d_values = map(torch.empty_like, (queries, keys, values))
        d_bias = None
        if ctx.needs_input_grad[3]:  # summed over rows, in float32 at least
            exact = torch.promote_types(bias.dtype, torch.float32)
            d_bias = torch.zeros_like(bias, dtype=exact)
        for span in pairs.spans:
            q, k, v = (_heads(queries[span.queries], span),
                       _heads(keys[span.keys], span), _heads(values[span.keys], span))  # fmt: skip
            g = _heads(gradient[span.queries], span)
            shares = _shares(q, k, bias, span, pairs.unseen)
            d_shares = torch.bmm(g, v.mT).view(span.shape).to(shares.dtype)
            dropped = shares
            if kept is not None:
                factor = _factors(kept, ctx.scale, span, shares)
                dropped = shares * factor
                d_shares = d_shares.mul_(factor)
            _put(d_values[span.keys], _flat(dropped, q.dtype).mT @ g, span)
            d_scores = _softmax_backward(d_shares, shares)
            if d_bias is not None:
                d_bias[..., : span.shape[2], : span.shape[3]] += d_scores.sum(0, keepdim=True)
            d_scores = _flat(d_scores, q.dtype)
            _put(d_queries[span.queries], d_scores @ k, span)
            _put(d_keys[span.keys], d_scores.mT @ q, span)
        if d_bias is not None:
            d_bias = d_bias.to(bias.dtype)
        return *pairs.unpad(d_queries, d_keys, d_values), d_bias, None, None, None


def _heads(x, span):
    """Tokens (rows * length, H D) as (rows * H, length, D); of one row without a copy."""
    rows, heads = span.shape[:2]
    return x.view(rows, -1, heads, x.shape[1] // heads).transpose(1, 2).flatten(0, 1)


def _put(tokens, x, span):
    """Write `x` (rows * H, length, D) to `tokens` (rows * length, H D)."""
    rows, heads = span.shape[:2]
    target = tokens.view(rows, -1, heads, x.shape[2])
    target.copy_(x.unflatten(0, (rows, heads)).transpose(1, 2))


def _shares(q, k, bias, span, unseen):
    """Shares of a span before dropout, (rows, H, queries, keys), in float32 at least."""
    scores = torch.bmm(q, k.mT).view(span.shape)
    if bias is not None:
        scores.add_(bias[..., : span.shape[2], : span.shape[3]])
    if unseen is not None:
        scores.masked_fill_(unseen, MASKED)
    return scores.to(torch.promote_types(q.dtype, torch.float32)).softmax(-1)


def _factors(kept, scale, span, shares):
    return factors(kept, scale, shares.dtype, span.start, span.stop).view(span.shape)


def _flat(shares, dtype):
    return shares.flatten(0, 1).to(dtype)


def _softmax_backward(gradient, shares):
    return torch.ops.aten._softmax_backward_data(gradient, shares, -1, shares.dtype)

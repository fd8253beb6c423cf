"""Cross-attention of a few queries to encoder states, in plain products.

B batch, T target, S source, k hidden, H heads, D size of a head
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from compacter_cli.t5.bits import exact
from compacter_cli.t5.kernels import Projection


def absorbed(
    queries: Tensor,
    states: Tensor,
    key: Projection,
    value: Projection,
    bias: Tensor,
    heads: int,
    rate: float,
) -> Tensor:
    """Attention of `queries` (B, T, H D) to encoder `states` (B, S, k): (B, T, H D).

    `(q W) . s = q . (W s)`, so that encoder keys and values are never built, as in the lean
    execution's function of this name.

    Args:
        queries: of all target tokens.
        states: encoder states.
        key: `(weight, bias)` of the key projection, (k, H D) and (H D,) or `None`.
        value: the same of the value projection.
        bias: hides the source's padding, (B, 1, 1, S).
        heads: H.
        rate: of dropout on the attention weights.
    """
    rows, target = queries.shape[:2]
    asked = queries.unflatten(-1, (heads, -1)).permute(2, 0, 1, 3).flatten(1, 2)  # (H, B T, D)
    w_key, w_value = (weight.unflatten(-1, (heads, -1)) for weight, _ in (key, value))
    taken = _by_row(torch.bmm(asked, w_key.permute(1, 2, 0)), rows)  # (B, H T, k)
    scores = torch.bmm(taken, states.mT) + bias[:, 0]
    if key[1] is not None:
        constant = (asked * key[1].view(heads, 1, -1)).sum(-1, keepdim=True)
        scores = scores + _by_row(constant, rows)
    shares = scores.to(exact(scores.dtype)).softmax(-1).to(states.dtype)
    if rate:
        shares = functional.dropout(shares, rate)
    context = torch.bmm(_by_head(torch.bmm(shares, states), heads), w_value.transpose(0, 1))
    if value[1] is not None:
        mass = _by_head(shares.sum(-1, keepdim=True), heads)
        context = context + mass * value[1].view(heads, 1, -1)
    return context.unflatten(1, (rows, target)).permute(1, 2, 0, 3).flatten(2)


def _by_row(x: Tensor, rows: int) -> Tensor:
    """(H, B T, n) to (B, H T, n)."""
    return x.unflatten(1, (rows, -1)).transpose(0, 1).flatten(1, 2)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(B, H T, n) to (H, B T, n)."""
    return x.unflatten(1, (heads, -1)).transpose(0, 1).flatten(1, 2)

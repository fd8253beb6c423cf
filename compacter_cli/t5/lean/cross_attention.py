"""Cross-attention of a few queries, in which encoder keys and values are never built.

B batch, T target, S source, k hidden, H heads, D size of a head
"""

from typing import TypeAlias

import torch
from torch import Tensor

from compacter_cli.t5.bits import exact
from compacter_cli.t5.lean.attention import MASKED
from compacter_cli.t5.lean.drop import Drop
from compacter_cli.t5.lean.pairs import Pairs

Projection: TypeAlias = tuple[Tensor, Tensor | None]  # weight and bias


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
    rows, heads, length, _ = pairs.shape
    asked = pairs.queries.pad(queries).flatten(0, 1).unflatten(1, (heads, -1))  # (B T, H, D)
    scores = _by_row(torch.bmm(asked.transpose(0, 1), _per_head(key[0], heads).mT), rows)
    scores = torch.bmm(scores, states.mT)  # (B, H T, S)
    if key[1] is not None:
        constant = (asked * key[1].view(heads, -1)).sum(-1, keepdim=True).transpose(0, 1)
        scores = scores + _by_row(constant, rows)
    scores = scores.view(pairs.shape)
    if pairs.unseen is not None:
        scores = scores.masked_fill(pairs.unseen, MASKED)
    weights = scores.to(exact(scores.dtype)).softmax(-1).to(states.dtype)
    if keep_mask is not None:
        weights = Drop.apply(weights, keep_mask, scale)
    weights = weights.flatten(1, 2)
    context = torch.bmm(_by_head(torch.bmm(weights, states), heads), _per_head(value[0], heads))
    if value[1] is not None:
        mass = _by_head(weights.sum(-1, keepdim=True), heads)
        context = context + mass * value[1].view(heads, 1, -1)
    context = context.transpose(0, 1).flatten(1).unflatten(0, (rows, length))
    return pairs.queries.flatten(context)


def _per_head(weight: Tensor, heads: int) -> Tensor:
    return weight.unflatten(1, (heads, -1)).transpose(0, 1)  # (H, k, D)


def _by_row(x: Tensor, rows: int) -> Tensor:
    """(H, B T, n) to (B, H T, n)."""
    return x.unflatten(1, (rows, -1)).transpose(0, 1).flatten(1, 2)


def _by_head(x: Tensor, heads: int) -> Tensor:
    """(B, H T, n) to (H, B T, n)."""
    return x.unflatten(1, (heads, -1)).transpose(0, 1).flatten(1, 2)

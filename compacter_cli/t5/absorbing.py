"""Cross-attention in which a source's keys and values are never built, but its queries taken to it.

`(q W) . s = q . (W s)`: each head's queries go through its part of the key projection to the
states' own dimension, and what they mix of the states comes back through the value projection.
All that a method changes of the two is applied here, at the queries.

N real target tokens, H heads, M = B T target tokens of all rows, k hidden, D size of a head
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from compacter_cli.t5.parts import Delta, Linear, by_head
from compacter_cli.t5.tokens import Tokens

Mix: TypeAlias = Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]
"""Attends with queries (H, M, k), to whose scores a constant (H, M, 1) may be added: what they
mix of the states, (H, M, k), and the sum of their attention weights, (H, M, 1)."""


def absorbing_is_cheaper(target: int, source: int, head: int) -> bool:
    """Whether T queries cost less taken to the states than keys and values of S states built."""
    return target * (source + head) < source * head


def absorbed(
    queries: Tensor, key: Linear, value: Linear, tokens: Tokens, heads: int, mix: Mix
) -> Tensor:
    """Attention of flat `queries` (N, H D) to the states that `mix` has: (N, H D).

    The segments of `key` and `value` are of target tokens, those of all places of all rows.
    """
    asked = by_head(tokens.spread(queries), heads)
    context = _from_states(value, *mix(*_to_states(key, asked)))
    return tokens.gather(context.transpose(0, 1).flatten(1))


def _to_states(key: Linear, queries: Tensor) -> tuple[Tensor, Tensor | None]:
    """Queries (H, M, D) taken to the states, (H, M, k), and what a bias adds to their scores.

    That is the same for all keys, and so of no consequence: where segments have one it is left out.
    """
    queries = _in_parts("scale", _scaled, key, queries)
    taken = torch.bmm(queries, by_head(key.weight, len(queries)).mT)
    constant = None if key.bias is None else (queries * _row(key.bias, queries)).sum(-1, True)
    return _in_parts("delta", _with_delta_back, key, taken, queries), constant


def _from_states(value: Linear, mixed: Tensor, mass: Tensor) -> Tensor:
    """The context (H, M, D) of what was mixed of the states by shares that sum to `mass`."""
    context = torch.bmm(mixed, by_head(value.weight, len(mixed)))
    context = _in_parts("bias", _biased, value, context, mass)
    context = _in_parts("delta", _with_delta, value, context, mixed)
    return _in_parts("scale", _scaled, value, context)


def _in_parts(
    field: str, change: Callable[..., Tensor], linear: Linear, x: Tensor, *others: Tensor
) -> Tensor:
    """`change(value, x, *others)` by the `field` of the projection, or by those of its segments."""
    if not linear.segments:
        own = getattr(linear, field)
        return x if own is None else change(own, x, *others)
    each = [(slice(first, end), getattr(own, field)) for first, end, own in linear.segments]
    there = [(part, own) for part, own in each if own is not None]
    y = x.clone() if there else x
    for part, own in there:
        y[:, part] = change(own, *(tensor[:, part] for tensor in (x, *others)))
    return y


def _row(vector: Tensor, x: Tensor) -> Tensor:
    """A projection's numbers (H D,) as those of each token of `x` (H, M, D): (H, 1, D)."""
    return by_head(vector[None], len(x))


def _scaled(scale: Tensor, x: Tensor) -> Tensor:
    # Of a key's number it may as well be the query's that it is multiplied with.
    return x * _row(scale, x)


def _biased(bias: Tensor, context: Tensor, mass: Tensor) -> Tensor:
    return torch.addcmul(context, mass, _row(bias, context))


def _with_delta(delta: Delta, context: Tensor, mixed: Tensor) -> Tensor:
    return context + delta.of_heads(mixed)


def _with_delta_back(delta: Delta, taken: Tensor, queries: Tensor) -> Tensor:
    return taken + delta.back(queries)


def rows_first(x: Tensor, rows: int) -> Tensor:
    """What belongs to the queries of B `rows`, (H, B T, n), row by row: (B, H T, n)."""
    return x.view(len(x), rows, -1, x.shape[2]).transpose(0, 1).reshape(rows, -1, x.shape[2])


def heads_first(x: Tensor, heads: int) -> Tensor:
    """`rows_first` undone: (B, H T, n) to (H, B T, n)."""
    return rows_first(x, heads)

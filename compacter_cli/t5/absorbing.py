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

from compacter_cli.t5.parts import Linear, by_head
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
    """Queries (H, M, D) taken to the states, (H, M, k), and what a bias adds to their scores."""
    queries = _in_parts(key, _scaled, queries)
    taken = torch.bmm(queries, by_head(key.weight, len(queries)).mT)
    constant = None
    if any(own.bias is not None for own in _each(key)):
        constant = _in_parts(key, _with_constant, queries.new_zeros(*queries.shape[:2], 1), queries)
    return _in_parts(key, _with_delta, taken, queries), constant


def _from_states(value: Linear, mixed: Tensor, mass: Tensor) -> Tensor:
    """The context (H, M, D) of what was mixed of the states by shares that sum to `mass`."""
    context = torch.bmm(mixed, by_head(value.weight, len(mixed)))
    return _in_parts(value, _changed, context, mixed, mass)


def _each(linear: Linear) -> list[Linear]:
    return [own for *_, own in linear.segments] or [linear]


def _in_parts(linear: Linear, change: Callable[..., Tensor], x: Tensor, *others: Tensor) -> Tensor:
    """`change(linear, x, *others)`, for each segment of tokens by its own."""
    if not linear.segments:
        return change(linear, x, *others)
    y = x.clone()
    for first, end, own in linear.segments:
        y[:, first:end] = change(own, *(each[:, first:end] for each in (x, *others)))
    return y


def _scaled(key: Linear, queries: Tensor) -> Tensor:
    # The scale of each number of a key is that of the number of a query it is multiplied with.
    return queries if key.scale is None else queries * by_head(key.scale[None], len(queries))


def _with_constant(key: Linear, constant: Tensor, queries: Tensor) -> Tensor:
    if key.bias is None:
        return constant
    return (queries * by_head(key.bias[None], len(queries))).sum(-1, keepdim=True)


def _with_delta(key: Linear, taken: Tensor, queries: Tensor) -> Tensor:
    return taken if key.delta is None else taken + key.delta.back(queries)


def _changed(value: Linear, context: Tensor, mixed: Tensor, mass: Tensor) -> Tensor:
    if value.bias is not None:
        context = torch.addcmul(context, mass, by_head(value.bias[None], len(context)))
    if value.delta is not None:
        context = context + value.delta.of_heads(mixed)
    return context if value.scale is None else context * by_head(value.scale[None], len(context))

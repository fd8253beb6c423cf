"""The lean kernels: `Kernels` over real tokens alone, through `compacter_cli.t5.lean`.

N tokens, B batch, S source, T target, k hidden, H heads, D size of a head
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import keras
import torch
from torch import Tensor
from torch.nn import functional

from compacter_cli.t5.absorbing import absorbing_is_cheaper
from compacter_cli.t5.kernels import MASKED, Kernels, Scope
from compacter_cli.t5.lean.attention import Attention
from compacter_cli.t5.lean.cross_attention import Mixed
from compacter_cli.t5.lean.drop import add_dropped, drop
from compacter_cli.t5.lean.feed_forward import ActivatedFeedForward, ReluFeedForward, linear
from compacter_cli.t5.lean.loss import FrozenHeadLoss, HeadLoss, Late
from compacter_cli.t5.lean.norm import Norm as LeanNorm
from compacter_cli.t5.lean.norm import NormedLinears
from compacter_cli.t5.lean.pairs import Pairs
from compacter_cli.t5.parts import Head, Linear, Norm, Thin
from compacter_cli.t5.tokens import Tokens


@dataclass(frozen=True)
class LeanScope(Scope):
    """A `Scope` whose bias is of position alone, (1, H, Q, K) or `None`.

    Attributes:
        pairs: the real queries with the real keys.
    """

    pairs: Pairs


class LeanKernels(Kernels):
    """`Kernels` by less work: the same results and dropout, to rounding.

    Tokens are the real ones: linears, norms, adapters and residuals never see padding. A source of
    padding alone, which has nothing to attend to, stays finite here as there, but the two differ
    on it.
    """

    _late: tuple[Tensor, Tensor] | None = None  # the pass's embedding, and as a tied head reads it

    def tokens(self, mask: Tensor) -> Tokens:
        return Tokens.of(mask)

    def within(self, tokens: Tokens, position: Tensor, causal: bool, dtype: torch.dtype) -> Scope:
        if causal:
            length = tokens.mask.shape[1]
            position = position.masked_fill(_ahead(length, position.device), MASKED)
        return LeanScope(tokens, tokens, position, Pairs.of(tokens, tokens, self.heads))

    def across(self, queries: Tokens, keys: Tokens, dtype: torch.dtype) -> Scope:
        padded = self.absorbs(queries.mask.shape[1], keys.mask.shape[1])
        pairs = (Pairs if padded else Pairs.of)(queries, keys, self.heads)
        return LeanScope(queries, keys, None, pairs)

    def absorbs(self, target: int, source: int) -> bool:
        return absorbing_is_cheaper(target, source, self.head_size)

    def keeps_states(self, target: int, source: int) -> bool:
        return self.absorbs(target, source)

    def _norm(self, norm: Norm, x: Tensor) -> Tensor:
        return LeanNorm.apply(x, *norm[:3])

    def embedded(self, ids: Tensor, table: Tensor, more: bool) -> Tensor:
        # Of the gradients of the whole table one is dense and comes last: that of a tied head, or
        # else the source's. Autograd adds the others to it in place, and they have few rows.
        few = more and table.requires_grad
        if few and self._late is None:
            self._late = table, Late.apply(table)
        return functional.embedding(ids, table, sparse=few)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return linear(x, weight, bias)

    def normed(self, norm: Norm, x: Tensor, *linears: Linear) -> tuple[Tensor, ...]:
        deltas = [each.delta for each in linears if each.delta is not None]
        thin = [delta for delta in deltas if isinstance(delta, Thin)]
        mixed = norm.of_tokens is not None or any(each.segments for each in linears)
        if mixed or len(thin) < len(deltas):
            return super().normed(norm, x, *linears)
        # A delta's first factor is one more product of the same normed tokens, which are not kept.
        pairs = [(each.weight, each.bias) for each in linears]
        pairs += [(delta.first, None) for delta in thin]
        products = NormedLinears.apply(x, *norm[:3], *(part for pair in pairs for part in pair))
        narrow = zip(products[len(linears) :], thin, strict=True)
        added = iter([x @ delta.second for x, delta in narrow])
        return tuple(
            each.with_changes(y, next(added) if each.delta else None)
            for y, each in zip(products, linears, strict=False)
        )

    def attention(
        self, place: str, queries: Tensor, keys: Tensor, values: Tensor, scope: Scope
    ) -> Tensor:
        pairs = _pairs(scope)
        keep_mask = pairs.keep_mask(self.dropout, f"{place}.shares")
        return Attention.apply(queries, keys, values, scope.bias, keep_mask, self._scale, pairs)

    def mix(
        self, place: str, states: Tensor, scope: Scope, taken: Tensor, constant: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        pairs = _pairs(scope)
        keep_mask = pairs.keep_mask(self.dropout, f"{place}.shares")
        return Mixed.apply(taken, constant, states, keep_mask, self._scale, pairs)

    def feed_forward(
        self, place: str, x: Tensor, w_in: Linear, gate: Linear | None, out: Linear, tokens: Tokens
    ) -> Tensor:
        if any(each and each.changed for each in (w_in, gate, out)):
            return super().feed_forward(place, x, w_in, gate, out, tokens)
        bits = None
        if self.dropout is not None:
            bits = self.dropout.bits(f"{place}.inner", len(x) * w_in.weight.shape[1], x.device)
        if self.activation is keras.activations.relu and gate is None:
            y = ReluFeedForward.apply(x, *w_in[:2], out.weight, bits, self._scale)
        else:
            y = ActivatedFeedForward.apply(
                x,
                *w_in[:2],
                *(gate or (None, None))[:2],
                out.weight,
                bits,
                self._scale,
                self.activation,
            )
        return y if out.bias is None else y + out.bias

    def drop(self, place: str, x: Tensor, tokens: Tokens) -> Tensor:
        return drop(x, self.dropout, place)

    def add_dropped(self, place: str, residual: Tensor, x: Tensor, tokens: Tokens) -> Tensor:
        return add_dropped(residual, x, self.dropout, place)

    def loss(self, head: Head, x: Tensor, targets: Tensor) -> Tensor:
        if not head.table.requires_grad:
            return FrozenHeadLoss.apply(x, head.table, head.bias, targets)
        embedding, late = self._late or (None, None)
        table = late if head.table is embedding else head.table
        return HeadLoss.apply(x, table, head.bias, targets)

    @property
    def _scale(self) -> float:
        return self.dropout.scale if self.dropout is not None else 1.0


def _pairs(scope: Scope) -> Pairs:
    assert isinstance(scope, LeanScope)  # as `within` and `across` give it
    return scope.pairs


@lru_cache(maxsize=8)
def _ahead(length: int, device: torch.device) -> Tensor:
    """True on the keys behind a query, (length, length)."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)

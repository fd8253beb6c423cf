"""Which tokens attend to which, and in which parts attention is computed.

B batch, H heads, Q and K padded lengths of queries and keys
"""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Self, TypeAlias

import torch
from torch import Tensor

from compacter_cli.t5.bits import factors, pack
from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.tokens import Tokens

# Attention weights of a row from which a CPU is faster over rows without their padding.
ROW_BY_ROW = 1 << 15

Shape: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True)
class Span:
    """A part of attention computed at once.

    Attributes:
        shape: of its attention weights: rows, heads, queries and keys of a row.
        queries: slice of its query tokens.
        keys: slice of its key tokens.
        start: how many attention weights are before its own.
    """

    shape: Shape
    queries: slice
    keys: slice
    start: int

    @property
    def stop(self) -> int:
        """Where its attention weights end."""
        return self.start + prod(self.shape)


@dataclass(frozen=True)
class Pairs:
    """The real queries of each row with the real keys of the same row.

    Attributes:
        queries: real tokens that attend.
        keys: those attended to, of as many rows.
        heads: number of heads H.
        row_by_row: whether rows are taken one by one, each at its own length, or all are padded.
    """

    queries: Tokens
    keys: Tokens
    heads: int
    row_by_row: bool = False

    @classmethod
    def of(cls, queries: Tokens, keys: Tokens, heads: int) -> Self:
        """Pairs in the parts that are fastest: long rows one by one on a CPU, else padded."""
        weights = heads * queries.mask.shape[1] * keys.mask.shape[1]
        one_by_one = queries.mask.is_cpu and weights >= ROW_BY_ROW
        known = one_by_one and queries.lengths is not None and keys.lengths is not None
        return cls(queries, keys, heads, known)

    @property
    def shape(self) -> Shape:
        """(B, H, Q, K)."""
        rows, queries = self.queries.mask.shape
        return rows, self.heads, queries, self.keys.mask.shape[1]

    @cached_property
    def spans(self) -> list[Span]:
        """The `Span`s that make up the whole."""
        if not self.row_by_row:
            return [Span(self.shape, slice(None), slice(None), 0)]
        query_lengths, key_lengths = self.queries.lengths, self.keys.lengths
        assert query_lengths is not None  # as `of` sees to
        assert key_lengths is not None
        spans, query, key, start = [], 0, 0, 0
        for queries, keys in zip(query_lengths, key_lengths, strict=True):
            shape = (1, self.heads, queries, keys)
            span = Span(shape, slice(query, query + queries), slice(key, key + keys), start)
            query, key, start = query + queries, key + keys, span.stop
            spans.append(span)
        return spans

    @cached_property
    def unseen(self) -> Tensor | None:
        """True on keys that must be hidden, (B, 1, 1, K); `None` where none must."""
        if self.row_by_row or self.keys.index is None:
            return None
        return ~self.keys.mask[:, None, None, :]

    @cached_property
    def real(self) -> Tensor | None:
        """True where query and key are both real, (B, 1, Q, K); `None` where all are."""
        if self.queries.index is None and self.keys.index is None:
            return None
        return self.queries.mask[:, None, :, None] & self.keys.mask[:, None, None, :]

    @cached_property
    def count(self) -> int:
        """Number of attention weights of real pairs, in all heads."""
        return prod(self.shape) if self.real is None else self.heads * int(self.real.sum())

    def keep_mask(self, dropout: Dropout | None, site: str) -> Tensor | None:
        """Dropout's packed bits of all attention weights in the order of `spans`, if it is on."""
        if dropout is None:
            return None
        shape, device = self.shape, self.queries.mask.device
        bits = dropout.bits(site, self.count, device)
        if self.row_by_row or self.real is None:
            return bits
        among = torch.zeros(shape, dtype=torch.bool, device=device)
        drawn = factors(bits, 1, torch.uint8, stop=self.count).bool()
        return pack(among.masked_scatter_(self.real.expand(shape), drawn))

    def pad(self, queries: Tensor, *keys: Tensor) -> tuple[Tensor, ...]:
        """Flat queries, and tensors of keys, as the spans' slices take them."""
        if self.row_by_row:
            return queries, *keys
        return self.queries.spread(queries), *map(self.keys.spread, keys)

    def unpad(self, queries: Tensor, *keys: Tensor) -> tuple[Tensor, ...]:
        """What `pad` gave, flat again."""
        if self.row_by_row:
            return queries, *keys
        return self.queries.gather(queries), *map(self.keys.gather, keys)

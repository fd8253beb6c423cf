"""The tokens of padded rows that are computed, one after another.

B batch, S padded length, N tokens that are computed
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tokens:
    """Where the tokens are that are computed: the real ones, or those of all places.

    Attributes:
        mask: true on real tokens, (B, S).
        index: place of each real token among all, (N,); `None` where all places are taken, whether
            all are real or padding is computed too.
    """

    mask: Tensor
    index: Tensor | None

    @classmethod
    def of(cls, mask: Tensor) -> Self:
        """The real tokens of a mask (B, S)."""
        return cls(mask, None if mask.all() else mask.flatten().nonzero()[:, 0])

    @cached_property
    def lengths(self) -> list[int] | None:
        """Real tokens of each row; `None` where they are not the beginning of every row.

        Of real tokens alone, as `of` gives them.
        """
        rows, longest = self.mask.shape
        if self.index is None:
            return [longest] * rows if longest else None
        lengths = self.mask.sum(1)
        places = torch.arange(longest, device=self.mask.device)
        begin = torch.equal(self.mask, places < lengths[:, None])
        return lengths.tolist() if begin and lengths.all() else None

    def counts(self, rows: Sequence[int]) -> list[int]:
        """How many tokens are computed of each of several groups of `rows` after one another."""
        if self.index is None:
            return [count * self.mask.shape[1] for count in rows]
        ends = [0, *accumulate(self.mask.sum(1).tolist())]
        return [
            ends[end] - ends[end - count] for count, end in zip(rows, accumulate(rows), strict=True)
        ]

    def flatten(self, padded: Tensor) -> Tensor:
        """What of `padded` (B, S, ...) is computed: (N, ...)."""
        return self.gather(padded.flatten(0, 1))

    def gather(self, padded: Tensor) -> Tensor:
        """What of `padded` (B S, ...) is computed: (N, ...)."""
        return padded if self.index is None else padded.index_select(0, self.index)

    def pad(self, flat: Tensor) -> Tensor:
        """`flat` (N, ...) among zeros: (B, S, ...)."""
        return self.spread(flat).unflatten(0, tuple(self.mask.shape))

    def spread(self, flat: Tensor) -> Tensor:
        """`flat` (N, ...) among zeros: (B S, ...)."""
        if self.index is None:
            return flat
        places = flat.new_zeros(self.mask.numel(), *flat.shape[1:])
        return places.index_copy_(0, self.index, flat)

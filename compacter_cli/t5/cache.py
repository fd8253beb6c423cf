"""What is kept while answers are decoded token by token.

B batch, S source, k hidden
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from compacter_cli.t5.kernels import KeysValues, Scope


@dataclass
class Cache:
    """What is kept while decoding token by token.

    Attributes:
        past: keys and values of the target so far, a pair a block; `None` before the first token.
    """

    past: list[KeysValues | None]

    @property
    def length(self) -> int:
        """Target tokens so far."""
        return 0 if self.past[0] is None else self.past[0][1].shape[2]

    def fork(self) -> Self:
        """One that goes on from here by itself."""
        return replace(self, past=[*self.past])

    def append(self, block: int, keys: Tensor, values: Tensor) -> KeysValues:
        """Add one token's keys and values to a block; returns all of them."""
        past = self.past[block]
        if past is not None:
            keys = torch.cat((past[0], keys), dim=3)
            values = torch.cat((past[1], values), dim=2)
        self.past[block] = (keys, values)
        return keys, values


@dataclass
class KeysValuesCache(Cache):
    """A `Cache` with keys and values of the source.

    Attributes:
        cross: keys and values of the encoder states, a pair a block.
        source_bias: hides the source's padding, (B, 1, 1, S).
    """

    cross: list[KeysValues]
    source_bias: Tensor


@dataclass
class StatesCache(Cache):
    """A `Cache` without keys and values of the source: each step goes to its states themselves.

    Attributes:
        states: encoder states, (B, S, k).
        scope: one query a row with the source's real tokens.
    """

    states: Tensor
    scope: Scope

"""Rows of one batch under different adapters: one pass, in which each row has its own changes.

B batch, S source, k hidden
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from compacter_cli.t5.parts import Linear, Norm, Parts
from compacter_cli.t5.tokens import Tokens

if TYPE_CHECKING:
    from compacter_cli.t5.forward import T5Forward

OF_HEAD = {True: {"head", "head.bias"}, False: {"head.bias"}}  # an adapter's own, of a tied one
OF_SOURCE = (".cross_attention.key", ".cross_attention.value")  # what the decoder has of it


def mixed(forwards: Sequence[T5Forward], rows: Sequence[int]) -> T5Forward:
    """A forward pass over rows of which the first `rows[0]` are `forwards[0]`'s, and so on.

    All are of one backbone, and of models of which none is `unmixable`; products with the
    backbone's weights are taken of all rows at once. It is for answering, not for training.

    Args:
        forwards: of different adapters.
        rows: of each, how many rows of the batch are its own.
    """
    if len(forwards) == 1:
        return forwards[0]
    parts = tuple(forward.parts for forward in forwards)
    return replace(forwards[0], parts=MixedParts.of(parts, tuple(rows)))


@dataclass(frozen=True)
class MixedParts(Parts):
    """The `Parts` of several adapters, each for its own rows of a batch.

    Attributes:
        each: the adapters' own parts.
        rows: of each, how many rows after one another are its own.
        source: of each, how many tokens of the source are computed.
        target: the same of the target.
    """

    each: tuple[Parts, ...] = ()
    rows: tuple[int, ...] = ()
    source: tuple[int, ...] = ()
    target: tuple[int, ...] = ()

    @classmethod
    def of(cls, each: tuple[Parts, ...], rows: tuple[int, ...]) -> MixedParts:
        """Of adapters' parts, before it is known over which tokens."""
        first = each[0]
        prompt = next((parts.prompt for parts in each if parts.prompt is not None), None)
        return cls(first.weights, {}, first.epsilon, {}, {}, prompt, each, rows)

    def over(self, source: Tokens | None = None, target: Tokens | None = None) -> MixedParts:
        return replace(
            self,
            source=self.source if source is None else tuple(source.counts(self.rows)),
            target=self.target if target is None else tuple(target.counts(self.rows)),
        )

    def prompted(self, embedded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Each row behind its own prompt; shorter ones are followed by padding, as sources are."""
        longest = max(parts.prompt.length if parts.prompt else 0 for parts in self.each)
        longest += embedded.shape[1]
        groups = zip(self.each, embedded.split(self.rows), mask.split(self.rows), strict=True)
        pairs = [parts.prompted(x, real) for parts, x, real in groups]
        states = [pad(x, (0, 0, 0, longest - x.shape[1])) for x, _ in pairs]
        masks = [pad(real, (0, longest - real.shape[1]), value=False) for _, real in pairs]
        return torch.cat(states), torch.cat(masks)

    def linear(self, name: str) -> Linear:
        each = [parts.linear(name) for parts in self.each]
        plain = [one.bias is None and not one.changed for one in each]
        if all(plain):
            return each[0]
        return Linear(each[0].weight, segments=tuple(zip(self._counts(name), each, strict=True)))

    def norm(self, owner: str) -> Norm:
        each = [parts.norm(owner) for parts in self.each]
        first = each[0]
        if all(one.weight is first.weight and one.bias is None for one in each):
            return first
        return first._replace(segments=tuple(zip(self._counts(owner), each, strict=True)))

    def head(self, hidden_dim: int, tied: bool) -> tuple[Linear, float]:
        heads, scales = zip(*(parts.head(hidden_dim, tied) for parts in self.each), strict=True)
        own = any(parts.weights.keys() & OF_HEAD[tied] for parts in self.each)
        segments = tuple(zip(self.rows, heads, strict=True)) if own else ()
        return heads[0]._replace(segments=segments), scales[0]

    def adapted(self, owner: str, x: Tensor, given: Callable[[], Tensor]) -> Tensor:
        counts = self._counts(owner)
        beside = any(f"{owner}.parallel_adapter" in parts.adapters for parts in self.each)
        if not beside and not any(f"{owner}.adapter" in parts.adapters for parts in self.each):
            return x
        fed = given().split(counts) if beside else [x[:0]] * len(counts)
        groups = zip(self.each, x.split(counts), fed, strict=True)
        return torch.cat(
            [parts.adapted(owner, own, partial(_same, own_fed)) for parts, own, own_fed in groups]
        )

    def _counts(self, name: str) -> tuple[int, ...]:
        """How many tokens are each adapter's own, where the part of a structural name is."""
        of_source = name.startswith("encoder") or name.endswith(OF_SOURCE)
        return self.source if of_source else self.target


def _same(x: Tensor) -> Tensor:
    return x

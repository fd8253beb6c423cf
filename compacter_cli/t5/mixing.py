"""Rows of one batch under different adapters: one pass, in which each row has its own changes.

A adapters, B batch, N tokens, S longest row, k hidden
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from compacter_cli.t5.adapters import Adapter, Stacked
from compacter_cli.t5.parts import Head, Linear, Norm, Parts
from compacter_cli.t5.tokens import Tokens

if TYPE_CHECKING:
    from compacter_cli.t5.forward import T5Forward

Part = TypeVar("Part")
Looked = TypeVar("Looked")
FEW = 4  # rows an adapter, up to which those of all adapters are adapted in one product
OF_SOURCE = (".cross_attention.key", ".cross_attention.value")  # what the decoder has of it


class Mixture:
    """Adapters on one backbone, of which the rows of a batch may be.

    What is the same in every pass is found once. All are of models of which none is `unmixable`;
    passes are for answering, not for training.

    Args:
        forwards: of different adapters.
    """

    def __init__(self, forwards: Sequence[T5Forward]) -> None:
        self._forwards = tuple(forwards)
        self._parts = tuple(forward.parts for forward in forwards)
        self._found: dict[tuple[str, str], Any] = {}

    def over(self, rows: Sequence[int]) -> T5Forward:
        """A pass over rows of which the first `rows[0]` are `forwards[0]`'s, and so on.

        Products with the backbone's weights are taken of all rows at once.
        """
        asked = [forward for forward, count in zip(self._forwards, rows, strict=True) if count]
        if len(asked) == 1:
            return asked[0]
        parts = MixedParts.of(self._parts, tuple(rows), self._found)
        return replace(self._forwards[0], parts=parts)


def mixed(forwards: Sequence[T5Forward], rows: Sequence[int]) -> T5Forward:
    """One pass of a `Mixture`."""
    return Mixture(forwards).over(rows)


@dataclass(frozen=True)
class Places:
    """Whose the tokens of a pass are.

    Attributes:
        tokens: those that a part is applied to.
        rows: of each adapter, how many rows after one another are its own.
    """

    tokens: Tokens
    rows: tuple[int, ...]

    @cached_property
    def counts(self) -> list[int]:
        """Of each adapter, how many tokens are computed."""
        return self.tokens.counts(self.rows)

    @property
    def by_row(self) -> Tensor:
        """The number of each row's adapter, (B,)."""
        return _numbers(self.rows, self.tokens.mask.device)

    @cached_property
    def by_token(self) -> Tensor:
        """The number of each token's adapter, (N,)."""
        return _numbers(self.counts, self.tokens.mask.device)


@dataclass(frozen=True)
class MixedParts(Parts):
    """The `Parts` of several adapters, each for its own rows of a batch.

    Attributes:
        each: the adapters' own parts.
        rows: of each, how many rows after one another are its own.
        found: what was asked of all adapters before, by kind and name: it is the same in any pass.
        source: the tokens that what is of the source is applied to: those of it that are
            computed, or the target's that are taken to it (`Kernels.projected`).
        target: those of the target.
        picked: bottlenecks of the rows by name: the same in each step.
    """

    each: tuple[Parts, ...] = ()
    rows: tuple[int, ...] = ()
    found: dict[tuple[str, str], Any] = field(default_factory=dict)
    source: Places | None = None
    target: Places | None = None
    picked: dict[str, Adapter] = field(default_factory=dict)

    @classmethod
    def of(
        cls, each: tuple[Parts, ...], rows: tuple[int, ...], found: dict[tuple[str, str], Any]
    ) -> MixedParts:
        """Of adapters' parts, before it is known over which tokens."""
        first = each[0]
        asked = [parts for parts, count in zip(each, rows, strict=True) if count]
        prompt = next((parts.prompt for parts in asked if parts.prompt is not None), None)
        return cls(first.weights, {}, first.epsilon, {}, {}, prompt, each, rows, found)

    def over(self, source: Tokens | None = None, target: Tokens | None = None) -> MixedParts:
        return replace(
            self,
            source=self.source if source is None else Places(source, self.rows),
            target=self.target if target is None else Places(target, self.rows),
        )

    def prompted(self, embedded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Each row behind its own prompt; shorter ones are followed by padding, as sources are."""
        groups = zip(self.each, embedded.split(self.rows), mask.split(self.rows), strict=True)
        pairs = [parts.prompted(x, real) for parts, x, real in groups if len(x)]
        longest = max(x.shape[1] for x, _ in pairs)
        states = [pad(x, (0, 0, 0, longest - x.shape[1])) for x, _ in pairs]
        masks = [pad(real, (0, longest - real.shape[1]), value=False) for _, real in pairs]
        return torch.cat(states), torch.cat(masks)

    def linear(self, name: str) -> Linear:
        def look() -> tuple[Linear, list[Linear], list[bool]]:
            each = [parts.linear(name) for parts in self.each]
            changed = [one.bias is not None or one.changed for one in each]
            return Linear(each[0].weight), each, changed

        plain, each, changed = self._once("linear", name, look)
        if not any(changed):
            return plain
        return plain._replace(segments=_segments(self._places(name).counts, each, changed))

    def norm(self, owner: str) -> Norm:
        plain, of_all = self._once("norm", owner, lambda: self._norms(owner))
        if of_all is None:
            return plain
        weights, biases = of_all
        numbers = self._places(owner).by_token
        bias = None if biases is None else biases.index_select(0, numbers)
        return plain._replace(of_tokens=(weights.index_select(0, numbers), bias))

    def _norms(self, owner: str) -> tuple[Norm, tuple[Tensor, Tensor | None] | None]:
        """A norm of all adapters, or with it their weights and biases, (A, k), that differ."""
        each = [parts.norm(owner) for parts in self.each]
        biases = [norm.bias for norm in each if norm.bias is not None]
        if not biases and all(norm.weight is each[0].weight for norm in each):
            return each[0], None
        plain = each[0]._replace(bias=None)
        weights = torch.stack([norm.weight for norm in each])
        if not biases:
            return plain, (weights, None)
        none = torch.zeros_like(biases[0])
        return plain, (weights, torch.stack([none if n.bias is None else n.bias for n in each]))

    def head(self, hidden_dim: int, tied: bool) -> tuple[Head, float]:
        def look() -> tuple[Head, float, list[Head], list[bool]]:
            heads, scales = zip(*(parts.head(hidden_dim, tied) for parts in self.each), strict=True)
            tables = [parts.weights.get("head", parts.weights["embedding"]) for parts in self.each]
            usual, _ = Counter(map(id, tables)).most_common(1)[0]
            pairs = list(zip(heads, tables, strict=True))
            changed = [id(table) != usual or head.bias is not None for head, table in pairs]
            plain = next(head for head, table in pairs if id(table) == usual)
            return plain._replace(bias=None), scales[0], list(heads), changed

        plain, scale, heads, changed = self._once("head", "", look)
        return plain._replace(segments=_segments(self.rows, heads, changed)), scale

    def adapted(self, owner: str, x: Tensor, given: Callable[[], Tensor]) -> Tensor:
        if (found := self._at_once(owner, "adapter", x, unless="parallel_adapter")) is not None:
            return found
        given = lru_cache(given)
        for own, parts in self._having(owner, "adapter", "parallel_adapter"):
            x[own] = parts.adapted(owner, x[own], lambda own=own: given()[own])
        return x

    def adapted_sum(self, owner: str, x: Tensor) -> Tensor:
        if (found := self._at_once(owner, "residual_adapter", x)) is not None:
            return found
        for own, parts in self._having(owner, "residual_adapter"):
            x[own] = parts.adapted_sum(owner, x[own])
        return x

    def _having(self, owner: str, *names: str) -> Iterator[tuple[slice, Parts]]:
        """The parts of those with one of these bottlenecks at a sub-layer, and their tokens."""

        def look() -> list[bool]:
            full = {f"{owner}.{name}" for name in names}
            return [bool(parts.adapters.keys() & full) for parts in self.each]

        changed = self._once(names[0], owner, look)
        if any(changed):
            for first, end, parts in _segments(self._places(owner).counts, self.each, changed):
                yield slice(first, end), parts

    def _at_once(
        self, owner: str, name: str, x: Tensor, unless: str | None = None
    ) -> Tensor | None:
        """Tokens behind a sub-layer's bottlenecks in one product, where all have one of a shape.

        A kernel a row is more to read than a kernel an adapter, but far fewer operations: `None`
        where an adapter has more than a few rows, or one has what is called `unless` beside it.
        """
        places = self._places(owner)
        if len(places.tokens.mask) > FEW * sum(map(bool, self.rows)):
            return None

        def look() -> Stacked | None:
            each = [parts.adapters.get(f"{owner}.{name}") for parts in self.each]
            beside = any(f"{owner}.{unless}" in parts.adapters for parts in self.each)
            found = [one for one in each if one is not None]
            return None if beside or len(found) < len(each) else Stacked.of(found)

        stacked = self._once(f"all {name}", owner, look)
        if stacked is None:
            return None
        adapter = self.picked.get(f"{owner}.{name}")
        if adapter is None:
            adapter = self.picked[f"{owner}.{name}"] = stacked.picked(places.by_row)
        return places.tokens.flatten(adapter(places.tokens.pad(x)))

    def _once(self, kind: str, name: str, look: Callable[[], Looked]) -> Looked:
        """What `look` finds, which is looked for once."""
        if (kind, name) not in self.found:
            self.found[kind, name] = look()
        return cast("Looked", self.found[kind, name])

    def _places(self, name: str) -> Places:
        """Whose the tokens are that the part of a structural name is applied to."""
        of_source = name.startswith("encoder") or name.endswith(OF_SOURCE)
        places = self.source if of_source else self.target
        assert places is not None  # a pass says over which tokens before it asks for its parts
        return places


def _numbers(counts: Sequence[int], device: torch.device) -> Tensor:
    """0 as often as the first of `counts` says, then 1 as often as the second does, and so on."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(device)


def _segments(
    counts: Sequence[int], each: Sequence[Part], changed: Sequence[bool]
) -> tuple[tuple[int, int, Part], ...]:
    """Those of `each` that are `changed`, with the first and the end of their tokens."""
    ends = [*accumulate(counts)]
    groups = zip([0, *ends[:-1]], ends, each, changed, strict=True)
    return tuple((first, end, part) for first, end, part, own in groups if own and first < end)

"""Rows of one batch under different adapters: one pass, in which each row has its own changes.

B batch, S source, k hidden
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import Tensor
from torch.nn.functional import pad

from compacter_cli.t5.adapters import together
from compacter_cli.t5.parts import Linear, Norm, Parts
from compacter_cli.t5.tokens import Tokens

if TYPE_CHECKING:
    from compacter_cli.t5.forward import T5Forward

Part = TypeVar("Part")
Looked = TypeVar("Looked", bound=tuple[Any, Sequence[Any], Sequence[bool]])
FEW = 4  # tokens an adapter, up to which all are computed in one product
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
        source: of each, to how many tokens what is of the source is applied: those of it that are
            computed, or the target's that are taken to it (`Kernels.projected`).
        target: of each, how many tokens of the target are computed.
        found: what was asked of all adapters before, by kind and name: it is the same in each step.
    """

    each: tuple[Parts, ...] = ()
    rows: tuple[int, ...] = ()
    source: tuple[int, ...] = ()
    target: tuple[int, ...] = ()
    found: dict[tuple[str, str], tuple[Any, Sequence[Any], Sequence[bool]]] = field(
        default_factory=dict
    )

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
        def look() -> tuple[Linear, list[Linear], list[bool]]:
            each = [parts.linear(name) for parts in self.each]
            changed = [one.bias is not None or one.changed for one in each]
            return Linear(each[0].weight), each, changed

        plain, each, changed = self._once("linear", name, look)
        return plain._replace(segments=_segments(self._counts(name), each, changed))

    def norm(self, owner: str) -> Norm:
        def look() -> tuple[Norm, list[Norm], list[bool]]:
            each = [parts.norm(owner) for parts in self.each]
            usual = _most_shared([one.weight for one in each])
            plain = next(one for one in each if one.weight is usual)
            changed = [one.weight is not usual or one.bias is not None for one in each]
            return plain._replace(bias=None), each, changed

        plain, each, changed = self._once("norm", owner, look)
        return plain._replace(segments=_segments(self._counts(owner), each, changed))

    def head(self, hidden_dim: int, tied: bool) -> tuple[Linear, float]:
        heads, scales = zip(*(parts.head(hidden_dim, tied) for parts in self.each), strict=True)
        tables = [parts.weights.get("head", parts.weights["embedding"]) for parts in self.each]
        usual = _most_shared(tables)
        changed = [
            table is not usual or head.bias is not None
            for table, head in zip(tables, heads, strict=True)
        ]
        plain = next(head for head, table in zip(heads, tables, strict=True) if table is usual)
        segments = _segments(self.rows, heads, changed)
        return plain._replace(bias=None, segments=segments), scales[0]

    def adapted(self, owner: str, x: Tensor, given: Callable[[], Tensor]) -> Tensor:
        if joined := self._joined(owner):
            return joined(x)
        given = lru_cache(given)
        for own, parts in self._having(owner, "adapter", "parallel_adapter"):
            x[own] = parts.adapted(owner, x[own], lambda own=own: given()[own])
        return x

    def adapted_sum(self, owner: str, x: Tensor) -> Tensor:
        for own, parts in self._having(owner, "residual_adapter"):
            x[own] = parts.adapted_sum(owner, x[own])
        return x

    def _having(self, owner: str, *names: str) -> Iterator[tuple[slice, Parts]]:
        """The parts of those with one of these bottlenecks at a sub-layer, and their tokens."""

        def look() -> tuple[None, tuple[Parts, ...], list[bool]]:
            full = {f"{owner}.{name}" for name in names}
            return None, self.each, [bool(parts.adapters.keys() & full) for parts in self.each]

        _, each, changed = self._once(names[0], owner, look)
        for first, end, parts in _segments(self._counts(owner), each, changed):
            yield slice(first, end), parts

    def _joined(self, owner: str) -> Callable[[Tensor], Tensor] | None:
        """The adapters of a sub-layer as one product, where tokens are few and all have one.

        A kernel a token is more to read than a kernel an adapter, but far fewer operations.
        """
        counts = self._counts(owner)
        if sum(counts) > FEW * len(counts):
            return None

        def look() -> tuple[Callable[[Tensor], Tensor] | None, tuple[()], tuple[()]]:
            each = [parts.adapters.get(f"{owner}.adapter") for parts in self.each]
            beside = any(f"{owner}.parallel_adapter" in parts.adapters for parts in self.each)
            found = [one for one in each if one is not None]
            if beside or len(found) < len(each):
                return None, (), ()
            by_token = [one for one, n in zip(found, counts, strict=True) for _ in range(n)]
            return together(by_token), (), ()

        joined, _, _ = self._once(f"joined {counts}", owner, look)
        return joined

    def _once(self, kind: str, name: str, look: Callable[[], Looked]) -> Looked:
        """What `look` finds, which is looked for once."""
        found = self.found.get((kind, name))
        if found is None:
            found = self.found[kind, name] = look()
        return cast("Looked", found)

    def _counts(self, name: str) -> tuple[int, ...]:
        """How many tokens are each adapter's own, where the part of a structural name is."""
        of_source = name.startswith("encoder") or name.endswith(OF_SOURCE)
        return self.source if of_source else self.target


def _most_shared(tensors: Sequence[Tensor]) -> Tensor:
    """The one that is there most often."""
    return max(tensors, key=lambda tensor: sum(other is tensor for other in tensors))


def _segments(
    counts: Sequence[int], each: Sequence[Part], changed: Sequence[bool]
) -> tuple[tuple[int, int, Part], ...]:
    """Those of `each` that are `changed`, with the first and the end of their tokens."""
    if not any(changed):
        return ()
    ends = [*accumulate(counts)]
    groups = zip([0, *ends[:-1]], ends, each, changed, strict=True)
    return tuple((first, end, part) for first, end, part, own in groups if own and first < end)

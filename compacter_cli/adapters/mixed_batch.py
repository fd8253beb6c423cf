"""Texts that are computed at once, each under its own adapter."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import torch

    from compacter_cli.adapters.loaded import Labels, LoadedAdapter, Shares
    from compacter_cli.t5.forward import Encoded, T5Forward

Found = TypeVar("Found")


@dataclass(frozen=True)
class MixedBatch:
    """Rows that are computed at once, those of an adapter after one another.

    Attributes:
        groups: the adapters, and how many rows are each one's.
        order: the place of each row among the texts given.
        ids: token ids of the sources, (B, S).
        mask: true on real ones.
        forward: the pass over all of them.
        encoded: what it makes of the sources.
    """

    groups: list[tuple[LoadedAdapter, int]]
    order: list[int]
    ids: torch.Tensor
    mask: torch.Tensor
    forward: T5Forward
    encoded: Encoded

    @classmethod
    def of(
        cls, texts: Sequence[str], chosen: Sequence[LoadedAdapter], known: list[LoadedAdapter]
    ) -> MixedBatch:
        """Texts, each with its adapter, encoded."""
        import torch

        from compacter_cli.t5.batch import pad
        from compacter_cli.t5.mixing import mixed

        order = sorted(range(len(texts)), key=lambda place: known.index(chosen[place]))
        sources, groups = [], []
        for one, places in groupby(order, key=lambda place: chosen[place]):
            read = one.read([texts[place] for place in places])
            sources += read
            groups.append((one, len(read)))
        ids, mask = pad(sources, chosen[0].model.device)
        forward = mixed([one.forward for one, _ in groups], [count for _, count in groups])
        with torch.no_grad():
            encoded = forward.encode(ids, mask)
        return cls(groups, order, ids, mask, forward, encoded)

    def write(self) -> list[str]:
        """The text that is written for each row."""
        steps = max(one.longest for one, _ in self.groups)
        model = self.groups[0][0].model
        rows = model.greedy(self.ids, self.mask, steps, self.forward, self.encoded).tolist()
        return [text for one, own in self._split() for text in one.write(rows[own])]

    def weigh(self) -> list[Shares]:
        """The labels' probabilities of each row; those of the same labels are weighed together."""
        from compacter_cli.t5.mixing import mixed

        alike: dict[Labels, list[tuple[LoadedAdapter, slice]]] = defaultdict(list)
        for one, own in self._split():
            alike[one.labels].append((one, own))
        states, real = self.encoded
        found: list[Shares] = [None] * len(self.ids)
        for members in alike.values():
            places = [place for _, own in members for place in range(own.start, own.stop)]
            forward = mixed(
                [one.forward for one, _ in members], [own.stop - own.start for _, own in members]
            )
            encoded = states[places], real[places]
            first, _ = members[0]
            shares = first.weigh(self.ids[places], self.mask[places], encoded, forward)
            for place, share in zip(places, shares, strict=True):
                found[place] = share
        return found

    def answer_and_weigh(self) -> list[tuple[str, Shares]]:
        """The label, or text, of each row, with the labels' probabilities."""
        texts = self.write()
        named = [one.label_of(text) for one, own in self._split() for text in texts[own]]
        return list(zip(named, self.weigh(), strict=True))

    def in_order(self, found: Sequence[Found]) -> list[Found]:
        """What was found for each row, in the order of the texts."""
        by_place = dict(zip(self.order, found, strict=True))
        return [by_place[place] for place in range(len(by_place))]

    def _split(self) -> Iterator[tuple[LoadedAdapter, slice]]:
        """Each adapter with its rows."""
        start = 0
        for one, count in self.groups:
            yield one, slice(start, start + count)
            start += count

"""Texts that are computed at once, each under its own adapter."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from compacter_cli.adapters.loaded import Labels, LoadedAdapter, Shares
    from compacter_cli.t5.decoding import Decoding
    from compacter_cli.t5.forward import Encoded, T5Forward
    from compacter_cli.t5.mixing import Mixture

Found = TypeVar("Found")


class Known:
    """The adapters that rows of a batch may be under.

    Args:
        adapters: of one backbone.
    """

    def __init__(self, adapters: Sequence[LoadedAdapter]) -> None:
        self.adapters = list(adapters)

    def forward(self, groups: Sequence[tuple[LoadedAdapter, int]]) -> T5Forward:
        """The pass over rows of adapters, in their order here: of each, so many after one another.

        What it takes of all adapters is made when several are first asked at once.
        """
        if len(groups) == 1:
            return groups[0][0].forward
        counts = {id(one): count for one, count in groups}
        return self._mixture.over([counts.get(id(one), 0) for one in self.adapters])

    @cached_property
    def _mixture(self) -> Mixture:
        from compacter_cli.t5.mixing import Mixture

        return Mixture([one.forward for one in self.adapters])


@dataclass(frozen=True)
class MixedBatch:
    """Rows that are computed at once, those of an adapter after one another.

    Attributes:
        known: the adapters that they may be under.
        groups: those that they are under, and how many rows are each one's.
        order: the place of each row among the texts given.
        forward: the pass over all of them.
        encoded: what it makes of the sources.
    """

    known: Known
    groups: list[tuple[LoadedAdapter, int]]
    order: list[int]
    forward: T5Forward
    encoded: Encoded

    @classmethod
    def of(cls, texts: Sequence[str], chosen: Sequence[LoadedAdapter], known: Known) -> MixedBatch:
        """Texts, each with its adapter, encoded."""
        import torch

        from compacter_cli.t5.batch import pad

        numbers = {id(one): number for number, one in enumerate(known.adapters)}
        order = sorted(range(len(texts)), key=lambda text: numbers[id(chosen[text])])
        sources, groups = [], []
        for one, places in groupby(order, key=lambda place: chosen[place]):
            read = one.read([texts[place] for place in places])
            sources += read
            groups.append((one, len(read)))
        ids, mask = pad(sources, chosen[0].model.device)
        forward = known.forward(groups)
        with torch.no_grad():
            encoded = forward.encode(ids, mask)
        return cls(known, groups, order, forward, encoded)

    def write(self) -> list[str]:
        """The text that is written for each row."""
        rows = self._decoding.greedy(self._steps).tolist()
        return [text for one, own in self._split() for text in one.write(rows[own])]

    def weigh(self) -> list[Shares]:
        """The labels' probabilities of each row; those of the same labels are weighed together."""
        alike: dict[Labels, list[tuple[LoadedAdapter, slice]]] = defaultdict(list)
        for one, own in self._split():
            alike[one.labels].append((one, own))
        found: list[Shares] = [None] * len(self.encoded[0])
        for members in alike.values():
            places = [place for _, own in members for place in range(own.start, own.stop)]
            decoding = self._decoding if len(alike) == 1 else self._decoding_of(members, places)
            for place, share in zip(places, members[0][0].weigh(decoding), strict=True):
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

    @cached_property
    def _decoding(self) -> Decoding:
        """Of all rows."""
        from compacter_cli.t5.decoding import Decoding

        return Decoding(self.forward, self.encoded, self._steps)

    def _decoding_of(
        self, members: Sequence[tuple[LoadedAdapter, slice]], places: list[int]
    ) -> Decoding:
        """Of some adapters' rows, which are in these places."""
        from compacter_cli.t5.decoding import Decoding

        forward = self.known.forward([(one, own.stop - own.start) for one, own in members])
        states, real = self.encoded
        return Decoding(forward, (states[places], real[places]), members[0][0].longest)

    @property
    def _steps(self) -> int:
        """Tokens of an answer at most."""
        return max(one.longest for one, _ in self.groups)

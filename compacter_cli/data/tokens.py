"""Token ids of many texts, one after the other in one array: two bytes an id where they fit."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Self, overload

NARROW, WIDE = "H", "i"  # 2 and 4 bytes an id; a list takes 8, and 28 more for the number itself


class Tokens(Sequence[list[int]]):
    """A list of lists of token ids that takes the room of the ids, and 8 bytes a list."""

    def __init__(self) -> None:
        self._ids, self._ends = array(NARROW), array("q", [0])

    @classmethod
    def of(cls, texts: Iterable[Sequence[int]]) -> Self:
        """The ids of each of `texts`, taken one by one."""
        found = cls()
        for ids in texts:
            found._append(ids)
        return found

    def _append(self, ids: Sequence[int]) -> None:
        try:
            fresh = array(self._ids.typecode, ids)
        except OverflowError:  # more than mT5's first 65,536 pieces
            self._ids, fresh = array(WIDE, self._ids), array(WIDE, ids)
        self._ids.extend(fresh)
        self._ends.append(len(self._ids))

    def __len__(self) -> int:
        return len(self._ends) - 1

    @overload
    def __getitem__(self, index: int) -> list[int]: ...
    @overload
    def __getitem__(self, index: slice) -> list[list[int]]: ...
    def __getitem__(self, index: int | slice) -> list[int] | list[list[int]]:
        if isinstance(index, slice):
            return [self[place] for place in range(len(self))[index]]
        place = range(len(self))[index]
        return self._ids[self._ends[place] : self._ends[place + 1]].tolist()

    def __iter__(self) -> Iterator[list[int]]:
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    @property
    def id_bytes(self) -> int:
        """Bytes of the ids themselves."""
        return len(self._ids) * self._ids.itemsize

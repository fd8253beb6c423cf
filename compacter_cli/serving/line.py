"""The line that requests stand in: who comes first, what is taken next, when it makes a batch."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from compacter_cli.adapters.loaded import Shares

    Answer = tuple[str, Shares]
    Part = tuple["Asked", Sequence[str]]  # of a request, the texts that are computed next


@dataclass(eq=False)
class Asked:
    """Texts of one request.

    Attributes:
        answered: the answers, once all are there.
        arrived: the event loop's time.
        taken: how many texts are computed, or were.
        found: the answers so far.
    """

    adapter: str
    texts: Sequence[str]
    answered: asyncio.Future[list[Answer]]
    arrived: float
    taken: int = 0
    found: list[Answer] = field(default_factory=list)

    @property
    def left(self) -> int:
        """How many texts still wait."""
        return len(self.texts) - self.taken

    def take(self, most: int) -> Sequence[str]:
        """The next texts."""
        part = self.texts[self.taken : self.taken + most]
        self.taken += len(part)
        return part

    def receive(self, answers: Iterable[Answer]) -> None:
        """Take the answers to the texts that were taken first."""
        self.found += answers
        if len(self.found) == len(self.texts) and not self.answered.done():
            self.answered.set_result(self.found)

    def fail(self, error: Exception) -> None:
        """Say that one of the texts cannot be answered."""
        if not self.answered.done():
            self.answered.set_exception(error)


class Line:
    """Requests in the order they came, whose texts wait to be computed.

    Args:
        batch: how many texts are computed at once.

    Attributes:
        waiting: texts that are not being computed yet.
        some, enough: set while anybody stands there, and while a batch's worth of texts waits.
    """

    def __init__(self, batch: int) -> None:
        self.waiting = 0
        self.some, self.enough = asyncio.Event(), asyncio.Event()
        self._batch = batch
        self._asked: deque[Asked] = deque()

    def __bool__(self) -> bool:
        return bool(self._asked)

    def __iter__(self) -> Iterator[Asked]:
        return iter(self._asked)

    @property
    def first(self) -> Asked:
        """Who has waited longest."""
        return self._asked[0]

    def join(self, asked: Asked) -> None:
        """Stand at the end."""
        self._asked.append(asked)
        self.waiting += len(asked.texts)
        self.some.set()
        if self.waiting >= self._batch:
            self.enough.set()

    def leave(self, asked: Asked) -> None:
        """Leave, with the texts that still wait."""
        with suppress(ValueError):  # all its texts were taken
            self._asked.remove(asked)
            self.waiting -= asked.left

    def clear(self) -> None:
        """Let nobody stand there any more."""
        self._asked.clear()
        self.waiting = 0

    def take(self) -> list[Part]:
        """The texts to compute next, by who asked."""
        parts: list[Part] = []
        room = self._batch
        while self._asked and room:
            asked = self._asked[0]
            if asked.answered.done():  # it failed, or nobody waits for it
                self.leave(asked)
                continue
            part = asked.take(room)
            parts.append((asked, part))
            room -= len(part)
            self.waiting -= len(part)
            if not asked.left:
                self._asked.popleft()
        if self.waiting < self._batch:
            self.enough.clear()
        return parts

"""Texts of many askers, answered together: as many of the line as make a batch, in a thread."""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import asynccontextmanager, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from compacter_cli.serving.calls import Calls
from compacter_cli.serving.line import Asked, Line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from compacter_cli.serving.limits import Limits
    from compacter_cli.serving.line import Answer, Part

    # Answers to texts, each under the adapter of a name.
    Model = Callable[[Sequence[str], Sequence[str]], Sequence[Answer]]

LONGEST_WAIT = 60  # seconds, of what is advised
_log = logging.getLogger(__name__)


class BusyError(Exception):
    """No more texts may wait. After `seconds` it is worth trying again."""

    def __init__(self, seconds: int) -> None:
        super().__init__(f"too many texts are waiting; try again in {seconds} s")
        self.seconds = seconds


class LateError(Exception):
    """The answers were not there in time; they are not computed any more."""


class StoppedError(Exception):
    """Nothing is answered any more."""

    def __init__(self) -> None:
        super().__init__("nothing is answered any more; the server's output says why")


class Batch(NamedTuple):
    """What was computed at once: the adapter of each text, the time it took, whether in vain."""

    names: Sequence[str]
    seconds: float
    failed: bool = False


class Batcher:
    """Answers texts of many askers together, whatever their adapters, in the order they came.

    Args:
        model: answers; it is called in a thread of its own, never twice at once.
        limits: how many texts are computed at once, how many may wait, and how long.
        told: is told of each batch.

    """

    def __init__(
        self, model: Model, limits: Limits, told: Callable[[Batch], None] = lambda _: None
    ) -> None:
        self._model, self._limits, self._told = model, limits, told
        self._line = Line(limits.batch)
        self._computed: Sequence[Asked] = ()
        self._worker: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._pace = 0.0  # seconds a text

    @property
    def waiting(self) -> int:
        """How many texts are not being computed yet."""
        return self._line.waiting

    @property
    def alive(self) -> bool:
        """Whether texts are being answered."""
        return self._worker is not None and not self._worker.done()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer inside; at the end, what was accepted is answered first, in the time it has."""
        self._calls = Calls()
        self._worker = asyncio.create_task(self._work())
        self._worker.add_done_callback(self._end)
        try:
            yield
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.answer_seconds):
                    await self._idle.wait()
        finally:
            self._worker.cancel()
            await asyncio.wait([self._worker])
            self._calls.end()

    def _end(self, worker: asyncio.Task[None]) -> None:
        """Let nobody wait for what is answered no more."""
        if not worker.cancelled() and (error := worker.exception()):
            _log.critical("nothing is answered any more", exc_info=error)
        for asked in (*self._line, *self._computed):
            asked.fail(StoppedError())
        self._line.clear()
        self._idle.set()

    async def ask(self, adapter: str, texts: Sequence[str]) -> list[Answer]:
        """The answers of an adapter to texts.

        Whoever gives up waiting cancels this: what is not being computed yet then never is.

        Raises:
            BusyError: so many texts wait that these are not accepted.
            LateError: they were not answered in time.
            StoppedError: nothing is answered any more.
            Exception: what the model raised on them.
        """
        if not self.alive:
            raise StoppedError
        if self.waiting + len(texts) > self._limits.waiting:
            raise BusyError(self._advice())
        loop = asyncio.get_running_loop()
        asked = Asked(adapter, texts, loop.create_future(), loop.time())
        self._line.join(asked)
        self._idle.clear()
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                return await asked.answered
        except TimeoutError:
            raise LateError(f"no answer within {self._limits.answer_seconds:g} s") from None
        finally:
            self._line.leave(asked)

    def _advice(self) -> int:
        """Seconds until those who wait now are answered."""
        return min(max(1, math.ceil(self.waiting * self._pace)), LONGEST_WAIT)

    async def _work(self) -> None:
        while True:
            await self._line.some.wait()
            if not self._line:
                self._line.some.clear()
                self._idle.set()
                continue
            await self._gather()
            if parts := self._line.take():
                self._computed = [asked for asked, _ in parts]
                await self._answer(parts)
                self._computed = ()

    async def _gather(self) -> None:
        """Wait for a batch's worth of texts, but no longer than the first of the line may."""
        until = self._line.first.arrived + self._limits.gather
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._line.enough.wait()

    async def _answer(self, parts: Sequence[Part]) -> None:
        """Compute texts together; where that fails, each asker's alone, for one may be to blame."""
        try:
            await self._answer_together(parts)
            return
        except Exception as error:  # whatever it is, the others are to be answered
            if len(parts) == 1:
                self._fail(parts[0][0], error)
                return
            _log.warning("%d requests failed together; each is tried alone: %r", len(parts), error)
        for part in parts:  # outside, for the error holds what was computed
            if not part[0].answered.done():
                await self._answer([part])

    async def _answer_together(self, parts: Sequence[Part]) -> None:
        texts = [text for _, part in parts for text in part]
        names = [asked.adapter for asked, part in parts for _ in part]
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            found = await self._calls.result(partial(self._model, texts, names))
            if len(found) != len(texts):
                raise RuntimeError(f"expected {len(texts)} answers of the model, got {len(found)}")
        except Exception:
            self._note(Batch(names, loop.time() - began, failed=True))
            raise
        self._note(Batch(names, loop.time() - began))
        answers = iter(found)
        for asked, part in parts:
            asked.receive(islice(answers, len(part)))

    def _fail(self, asked: Asked, error: Exception) -> None:
        """Give up a request; what of it is not computed yet never is."""
        asked.fail(error)
        self._line.leave(asked)

    def _note(self, batch: Batch) -> None:
        if not batch.failed:
            pace = batch.seconds / max(1, len(batch.names))
            self._pace = 0.8 * self._pace + 0.2 * pace if self._pace else pace
        try:
            self._told(batch)
        except Exception:  # no answer is lost for a number
            _log.exception("a batch could not be counted")

"""Texts that wait for their answers in one line, and the thread that answers many at once."""

from __future__ import annotations

import asyncio
import logging
import math
import traceback
from collections import deque
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from compacter_cli.adapters.loaded import Shares
    from compacter_cli.serving.limits import Limits

    Answer = tuple[str, Shares]
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


@dataclass(eq=False)
class _Asked:
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


_Part = tuple[_Asked, "Sequence[str]"]  # of a request, the texts that are computed next


class _Calls:
    """A thread that calls what it is given, one after the other.

    No process waits for it at its end: a call that never returns would keep it for ever.
    """

    def __init__(self) -> None:
        self._given: SimpleQueue[tuple[Future[Sequence[Answer]], Callable[[], Any]] | None]
        self._given = SimpleQueue()
        Thread(target=self._run, name="answers", daemon=True).start()

    async def result(self, call: Callable[[], Sequence[Answer]]) -> Sequence[Answer]:
        """What `call` gives in the thread."""
        future: Future[Sequence[Answer]] = Future()
        self._given.put((future, call))
        return await asyncio.wrap_future(future)

    def end(self) -> None:
        """Take no more calls."""
        self._given.put(None)

    def _run(self) -> None:
        while given := self._given.get():
            future, call = given
            if future.set_running_or_notify_cancel():
                _settle(future, call)
            del given, future, call  # or they were kept until the next call


def _settle(future: Future[Any], call: Callable[[], Any]) -> None:
    try:
        found = call()
    except BaseException as error:  # whatever it is, it is the caller's
        traceback.clear_frames(error.__traceback__)  # they hold the model's tensors
        if not isinstance(error, Exception) or isinstance(error, StopIteration):
            # An event loop would end of the one, and never hand on the other.
            error = RuntimeError(f"the model ended with {error!r}")
        future.set_exception(error)
    else:
        future.set_result(found)


class Batcher:
    """Answers texts of many askers together, whatever their adapters, in the order they came.

    Args:
        model: answers; it is called in a thread of its own, never twice at once.
        limits: how many texts are computed at once, how many may wait, and how long.
        told: is told of each batch.

    Attributes:
        waiting: texts that are not being computed yet.
    """

    def __init__(
        self, model: Model, limits: Limits, told: Callable[[Batch], None] = lambda _: None
    ) -> None:
        self.waiting = 0
        self._model, self._limits, self._told = model, limits, told
        self._line: deque[_Asked] = deque()
        self._computed: Sequence[_Asked] = ()
        self._worker: asyncio.Task[None] | None = None
        self._some, self._enough, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._idle.set()
        self._pace = 0.0  # seconds a text

    @property
    def alive(self) -> bool:
        """Whether texts are being answered."""
        return self._worker is not None and not self._worker.done()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer inside; at the end, what was accepted is answered first, in the time it has."""
        self._calls = _Calls()
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
        self.waiting = 0
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
        asked = _Asked(adapter, texts, loop.create_future(), loop.time())
        self._stand_in_line(asked)
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                return await asked.answered
        except TimeoutError:
            raise LateError(f"no answer within {self._limits.answer_seconds:g} s") from None
        finally:
            self._leave_line(asked)

    def _advice(self) -> int:
        """Seconds until those who wait now are answered."""
        return min(max(1, math.ceil(self.waiting * self._pace)), LONGEST_WAIT)

    def _stand_in_line(self, asked: _Asked) -> None:
        self._line.append(asked)
        self.waiting += len(asked.texts)
        self._idle.clear()
        self._some.set()
        if self.waiting >= self._limits.batch:
            self._enough.set()

    def _leave_line(self, asked: _Asked) -> None:
        with suppress(ValueError):  # all its texts were taken
            self._line.remove(asked)
            self.waiting -= asked.left

    async def _work(self) -> None:
        while True:
            await self._some.wait()
            if not self._line:
                self._some.clear()
                self._idle.set()
                continue
            await self._gather()
            if parts := self._take():
                self._computed = [asked for asked, _ in parts]
                await self._answer(parts)
                self._computed = ()

    async def _gather(self) -> None:
        """Wait for a batch's worth of texts, but no longer than the first of the line may."""
        until = self._line[0].arrived + self._limits.gather
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._enough.wait()

    def _take(self) -> list[_Part]:
        """The texts to compute next, by who asked."""
        parts: list[_Part] = []
        room = self._limits.batch
        while self._line and room:
            asked = self._line[0]
            if asked.answered.done():  # it failed, or nobody waits for it
                self._leave_line(asked)
                continue
            part = asked.take(room)
            parts.append((asked, part))
            room -= len(part)
            self.waiting -= len(part)
            if not asked.left:
                self._line.popleft()
        if self.waiting < self._limits.batch:
            self._enough.clear()
        return parts

    async def _answer(self, parts: Sequence[_Part]) -> None:
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

    async def _answer_together(self, parts: Sequence[_Part]) -> None:
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

    def _fail(self, asked: _Asked, error: Exception) -> None:
        """Give up a request; what of it is not computed yet never is."""
        asked.fail(error)
        self._leave_line(asked)

    def _note(self, batch: Batch) -> None:
        if not batch.failed:
            pace = batch.seconds / max(1, len(batch.names))
            self._pace = 0.8 * self._pace + 0.2 * pace if self._pace else pace
        try:
            self._told(batch)
        except Exception:  # no answer is lost for a number
            _log.exception("a batch could not be counted")

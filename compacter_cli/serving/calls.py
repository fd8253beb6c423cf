"""A thread that computes one thing after the other for an event loop, whatever comes of it."""

from __future__ import annotations

import asyncio
import traceback
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from threading import enumerate as threads
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


_NAME = "answers"  # of the thread


class Calls:
    """A thread that calls what it is given, one after the other.

    No process waits for it at its end: a call that never returns would keep it for ever.
    """

    def __init__(self) -> None:
        self._given: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._given = SimpleQueue()
        Thread(target=self._run, name=_NAME, daemon=True).start()

    async def result(self, call: Callable[[], Any]) -> Any:
        """What `call` gives in the thread."""
        future: Future[Any] = Future()
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


def go_on() -> bool:
    """Whether a call may still be going on: Python's end in the midst of torch is an abort."""
    return any(thread.name == _NAME for thread in threads())


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

"""Signals that let the step in progress end, so that what is trained can be saved whole."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from compacter_cli.errors import Interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(Exception):
    """What was going on ended early because it was told to."""


class Stop:
    """Whether a signal has come, and which.

    Attributes:
        signum: of the first one; `None` before it.
    """

    def __init__(self) -> None:
        self.signum: int | None = None

    def __call__(self) -> bool:
        return self.signum is not None

    def interrupted(self, message: str, command: str | None = None) -> Interrupted:
        """The error that ends the process as the signal would have, and what goes on with it."""
        return Interrupted(message, self.signum or signal.SIGINT, command)


@contextmanager
def deferred_signals() -> Iterator[Stop]:
    """Yields a `Stop`, true once Ctrl-C, SIGTERM or SIGHUP came; the next one interrupts at once.

    One that the process was told to ignore, as `nohup` does, stays ignored. Only the main thread
    may handle signals: elsewhere none is deferred.
    """
    stop = Stop()

    def handle(signum: int, _frame: FrameType | None) -> None:
        if stop():
            raise Interrupted(signum=signum)
        stop.signum = signum

    with handled(handle):
        yield stop


@contextmanager
def handled(handler: "signal._HANDLER") -> Iterator[None]:
    """Give every stopping signal that is not ignored to `handler` inside.

    One that is given to another inside stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}
    deferred = [number for number, old in before.items() if old != signal.SIG_IGN]
    for number in deferred:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in deferred:
            if signal.getsignal(number) == handler:
                # None: a handler that was not set from Python, which cannot be put back.
                signal.signal(number, before[number] or signal.SIG_DFL)

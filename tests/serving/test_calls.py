"""The thread that computes for an event loop: in turn, and whatever is raised there."""

import asyncio
import threading
import time

import pytest

from compacter_cli.serving.calls import Calls, go_on


def raising(error):
    def call():
        raise error

    return call


def test_calls_are_made_in_turn_in_a_thread_of_their_own():
    async def inside():
        calls, names = Calls(), []
        name = lambda: names.append(threading.current_thread().name) or len(names)  # noqa: E731
        found = [await calls.result(name), await calls.result(name)]
        calls.end()
        return found, names

    assert asyncio.run(inside()) == ([1, 2], ["answers", "answers"])


@pytest.mark.parametrize("error", [SystemExit(3), StopIteration()])
def test_what_would_end_the_loop_is_an_error_like_any(error):
    async def inside():
        calls = Calls()
        with pytest.raises(RuntimeError, match=f"the model ended with {type(error).__name__}"):
            await calls.result(raising(error))
        assert await calls.result(lambda: "still here") == "still here"
        calls.end()

    asyncio.run(inside())


def test_it_is_known_whether_one_goes_on():
    async def inside():
        calls, free = Calls(), threading.Event()
        waiting = asyncio.create_task(calls.result(free.wait))
        await asyncio.sleep(0)
        assert go_on()
        free.set()
        assert await waiting
        calls.end()

    asyncio.run(inside())
    until = time.monotonic() + 60
    while go_on():  # the thread, until it has ended
        assert time.monotonic() < until
        time.sleep(0.01)

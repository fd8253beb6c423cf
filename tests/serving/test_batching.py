import asyncio
import gc
import threading
import time
import weakref
from dataclasses import replace

import pytest

from compacter_cli.serving.batching import Batcher, BusyError, LateError, StoppedError
from compacter_cli.serving.limits import Limits

QUICK = Limits(batch=4, waiting=8, gather=0.01, answer_seconds=20)


class Model:
    """Answers a text by itself under its adapter's name; may be held back, or fail on a text."""

    def __init__(self, held=False, fails_on=None):
        self.batches, self.threads = [], set()
        self.free, self.begun = threading.Event(), threading.Event()
        self._fails_on = fails_on
        if not held:
            self.free.set()

    def __call__(self, texts, names):
        self.begun.set()
        assert self.free.wait(20)
        self.threads.add(threading.current_thread().name)
        self.batches.append(list(zip(names, texts, strict=True)))
        if self._fails_on in texts:
            raise ValueError(f"no answer to {self._fails_on}")
        return [(f"{name}: {text}", None) for name, text in zip(names, texts, strict=True)]


def answered(name, *texts):
    return [(f"{name}: {text}", None) for text in texts]


def run(model, use, limits=QUICK, **told):
    """What `use` gives, called with a running batcher."""

    async def inside():
        batcher = Batcher(model, limits, **told)
        async with batcher.running():
            return await use(batcher)

    return asyncio.run(inside())


async def begun(model):
    """Wait until the model is computing."""
    while not model.begun.is_set():
        await asyncio.sleep(0.001)


async def asked(batcher, *pairs):
    """Tasks that ask, each an adapter and its texts, standing in line in this order."""
    tasks = [asyncio.create_task(batcher.ask(name, list(texts))) for name, texts in pairs]
    await asyncio.sleep(0)
    return tasks


def test_texts_of_several_askers_and_adapters_are_one_batch_and_each_gets_its_own():
    model, told = Model(), []

    async def use(batcher):
        return await asyncio.gather(
            batcher.ask("a", ["one", "two"]), batcher.ask("b", ["one"]), batcher.ask("a", ["three"])
        )

    found = run(model, use, told=told.append)
    assert found == [answered("a", "one", "two"), answered("b", "one"), answered("a", "three")]
    assert model.batches == [[("a", "one"), ("a", "two"), ("b", "one"), ("a", "three")]]
    assert [batch.names for batch in told] == [["a", "a", "b", "a"]]
    assert told[0].seconds > 0


def test_what_comes_within_the_time_to_gather_is_computed_together():
    model = Model()

    async def use(batcher):
        first = asyncio.create_task(batcher.ask("a", ["one"]))
        await asyncio.sleep(0.01)
        await asyncio.gather(first, batcher.ask("b", ["two", "three", "four"]))  # it is full

    run(model, use, replace(QUICK, gather=15))
    assert model.batches == [[("a", "one"), ("b", "two"), ("b", "three"), ("b", "four")]]


def test_a_batch_that_is_full_waits_for_nobody():
    model = Model()
    began = time.monotonic()
    run(model, lambda batcher: batcher.ask("a", list("abcd")), replace(QUICK, gather=15))
    assert time.monotonic() - began < 10


def test_while_one_batch_is_computed_the_next_one_gathers():
    model = Model(held=True)

    async def use(batcher):
        tasks = await asked(batcher, ("a", ["one"]))
        await begun(model)
        tasks += await asked(batcher, ("b", ["two"]), ("c", ["three"]))
        model.free.set()
        return await asyncio.gather(*tasks)

    assert run(model, use) == [answered("a", "one"), answered("b", "two"), answered("c", "three")]
    assert model.batches == [[("a", "one")], [("b", "two"), ("c", "three")]]
    assert len(model.threads) == 1


def test_a_request_beyond_a_batch_is_answered_in_several_and_shares_the_last():
    model = Model()

    async def use(batcher):
        return await asyncio.gather(batcher.ask("a", list("abcdef")), batcher.ask("b", ["g"]))

    assert run(model, use) == [answered("a", *"abcdef"), answered("b", "g")]
    assert [len(batch) for batch in model.batches] == [4, 3]


def test_beyond_the_bound_nobody_is_accepted_and_those_who_were_are_answered():
    model = Model(held=True)

    async def use(batcher):
        tasks = await asked(batcher, ("a", list("abcd")))
        await begun(model)
        tasks += await asked(batcher, ("a", list("efgh")), ("b", list("ijk")))
        assert batcher.waiting == 7
        with pytest.raises(BusyError) as caught:
            await batcher.ask("c", ["l", "m"])
        assert caught.value.seconds == 1
        tasks += await asked(batcher, ("c", ["l"]))
        model.free.set()
        return await asyncio.gather(*tasks)

    found = run(model, use)
    assert found[1:] == [answered("a", *"efgh"), answered("b", *"ijk"), answered("c", "l")]


def test_it_is_advised_to_wait_as_long_as_those_before_will_take():
    model = Model()

    def slowly(texts, names):
        time.sleep(0.4)
        return model(texts, names)

    async def use(batcher):
        await batcher.ask("a", ["one"])
        tasks = await asked(batcher, ("a", list("abcdefgh")))
        with pytest.raises(BusyError) as caught:
            await batcher.ask("a", ["more"])
        await asyncio.gather(*tasks)
        return caught.value.seconds

    assert 4 <= run(slowly, use) <= 10  # 8 texts of 0.4 s each, on a machine that may be busy


def test_who_gives_up_is_not_computed_and_leaves_room():
    model = Model(held=True)

    async def use(batcher):
        (first,) = await asked(batcher, ("a", ["one"]))
        await begun(model)
        gone, stays = await asked(batcher, ("a", list("abcdef")), ("b", ["two"]))
        gone.cancel()
        await asyncio.sleep(0)
        assert batcher.waiting == 1
        model.free.set()
        return await asyncio.gather(first, stays)

    assert run(model, use) == [answered("a", "one"), answered("b", "two")]
    assert model.batches == [[("a", "one")], [("b", "two")]]


def test_who_waits_too_long_is_told_and_leaves_room():
    model = Model(held=True)

    async def use(batcher):
        first, late = await asked(batcher, ("a", list("abcd")), ("b", ["two"]))
        with pytest.raises(LateError, match=r"no answer within 0\.1 s"):
            await late
        with pytest.raises(LateError):
            await first
        assert batcher.waiting == 0
        batcher._limits = QUICK  # time enough, however busy the machine is
        model.free.set()
        assert await batcher.ask("c", ["three"]) == answered("c", "three")

    run(model, use, replace(QUICK, answer_seconds=0.1, gather=0))
    assert model.batches == [[("a", text) for text in "abcd"], [("c", "three")]]


def test_what_the_model_fails_on_is_its_askers_alone():
    model = Model(fails_on="bad")

    async def use(batcher):
        asks = (batcher.ask("a", ["one"]), batcher.ask("b", ["bad"]), batcher.ask("c", ["three"]))
        found = await asyncio.gather(*asks, return_exceptions=True)
        assert batcher.alive
        return [*found, await batcher.ask("d", ["four"])]

    one, bad, three, four = run(model, use)
    assert (one, three, four) == (
        answered("a", "one"),
        answered("c", "three"),
        answered("d", "four"),
    )
    assert isinstance(bad, ValueError)


def test_a_long_request_that_failed_in_part_is_given_up_whole():
    model = Model(fails_on="b")

    async def use(batcher):
        with pytest.raises(ValueError, match="no answer to b"):
            await batcher.ask("a", list("abcdefgh"))
        assert batcher.waiting == 0
        assert await batcher.ask("c", ["later"]) == answered("c", "later")

    run(model, use)
    assert model.batches[1:] == [[("c", "later")]]  # of the failed one nothing more


def test_who_is_gone_once_a_batch_failed_is_not_computed_again():
    model = Model(held=True, fails_on="bad")

    async def use(batcher):
        gone, _ = tasks = await asked(batcher, ("a", ["gone"]), ("b", ["bad"]))
        await begun(model)
        gone.cancel()
        model.free.set()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(model, use)
    assert model.batches == [[("a", "gone"), ("b", "bad")], [("b", "bad")]]


def test_what_a_failed_batch_held_is_gone_before_it_is_tried_in_parts():
    class Tensor:
        pass

    held = []

    def model(texts, names):
        if held:
            assert held[0]() is None
            return [(text, None) for text in texts]
        tensor = Tensor()
        held.append(weakref.ref(tensor))
        raise MemoryError

    async def use(batcher):
        return await asyncio.gather(*await asked(batcher, ("a", ["one"]), ("b", ["two"])))

    gc.disable()
    try:
        assert run(model, use) == [[("one", None)], [("two", None)]]
    finally:
        gc.enable()


def test_answers_that_are_not_one_a_text_are_a_failure():
    async def use(batcher):
        with pytest.raises(RuntimeError, match="expected 2 answers of the model, got 1"):
            await batcher.ask("a", ["one", "two"])
        assert batcher.alive

    run(lambda texts, _: [(texts[0], None)], use)


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt(), StopIteration()])
def test_no_error_of_the_model_ends_the_answers(ending):
    model = Model()

    def fails_once(texts, names):
        if texts == ["bad"]:
            raise ending
        return model(texts, names)

    async def use(batcher):
        with pytest.raises(RuntimeError):
            await batcher.ask("a", ["bad"])
        return await batcher.ask("a", ["one"])

    assert run(fails_once, use) == answered("a", "one")


def test_what_cannot_be_counted_is_answered():
    def told(_batch):
        raise ValueError("no such label")

    assert run(Model(), lambda batcher: batcher.ask("a", ["one"]), told=told) == answered(
        "a", "one"
    )


def test_once_the_worker_is_dead_nobody_waits_and_the_end_comes():
    model = Model(held=True)

    async def use(batcher):
        tasks = await asked(batcher, ("a", list("abcd")), ("b", ["two"]))
        await begun(model)
        batcher._worker.cancel()
        for task in tasks:
            with pytest.raises(StoppedError):
                await task
        with pytest.raises(StoppedError):
            await batcher.ask("a", ["one"])
        assert (batcher.alive, batcher.waiting) == (False, 0)

    run(model, use)
    model.free.set()


def test_a_call_that_never_returns_does_not_keep_the_end_from_coming():
    model = Model(held=True)

    async def use(batcher):
        with pytest.raises(LateError):
            await batcher.ask("a", ["one"])

    began = time.monotonic()
    run(model, use, replace(QUICK, answer_seconds=0.1))
    assert time.monotonic() - began < 15
    model.free.set()


def test_at_the_end_what_was_accepted_is_answered():
    model, tasks = Model(held=True), []

    async def use(batcher):
        tasks.extend(await asked(batcher, ("a", list("abcd")), ("b", list("efg"))))
        asyncio.get_running_loop().call_later(0.05, model.free.set)

    async def inside():
        batcher = Batcher(model, QUICK)
        async with batcher.running():
            await use(batcher)
        assert not batcher.alive
        return await asyncio.gather(*tasks)

    assert asyncio.run(inside()) == [answered("a", *"abcd"), answered("b", *"efg")]

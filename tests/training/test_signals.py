import signal
import threading

import pytest

from compacter_cli.training.signals import deferred_interrupt


@pytest.fixture(autouse=True)
def python_handler():
    """Ctrl-C as an interactive Python has it, whatever started the tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press():
    signal.raise_signal(signal.SIGINT)


def test_nothing_is_interrupted_before_a_press():
    with deferred_interrupt() as interrupted:
        assert not interrupted()
    assert not interrupted()


def test_the_first_press_is_only_noted():
    with deferred_interrupt() as interrupted:
        press()
        assert interrupted()
        assert interrupted()


def test_the_second_press_interrupts_at_once():
    with deferred_interrupt() as interrupted:
        press()
        with pytest.raises(KeyboardInterrupt):
            press()
        assert interrupted()


def test_afterwards_a_press_is_what_it_was_before():
    with deferred_interrupt():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        press()


def test_an_error_inside_gives_the_old_handler_back():
    with pytest.raises(RuntimeError), deferred_interrupt():
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_use_does_not_remember_the_press_of_another():
    with deferred_interrupt() as first:
        press()
    with deferred_interrupt() as second:
        assert first()
        assert not second()
        press()  # the first of this one: noted, not raised
        assert second()


def test_another_thread_runs_undisturbed():
    found = []

    def work():
        with deferred_interrupt() as interrupted:
            found.append((interrupted(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, signal.default_int_handler)]

import signal
import threading

import pytest

from compacter_cli.errors import Interrupted
from compacter_cli.training.signals import STOPPING, deferred_signals

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(autouse=True)
def plain_handlers():
    """Signals as an interactive Python has them, whatever started the tests."""
    plain = dict.fromkeys(STOPPING, signal.SIG_DFL)
    plain[signal.SIGINT] = signal.default_int_handler
    before = {number: signal.signal(number, handler) for number, handler in plain.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def press():
    signal.raise_signal(signal.SIGINT)


def test_nothing_is_stopped_before_a_signal():
    with deferred_signals() as stop:
        assert not stop()
    assert not stop()


@pytest.mark.parametrize("number", STOPPING)
def test_the_first_signal_is_only_noted_and_decides_the_exit_code(number):
    with deferred_signals() as stop:
        signal.raise_signal(number)
        assert stop()
        assert stop()
    assert stop.interrupted("at its end").exit_code == CODES[number]
    assert str(stop.interrupted("at its end")) == "at its end"


@pytest.mark.parametrize("number", STOPPING)
def test_the_second_signal_interrupts_at_once(number):
    with deferred_signals() as stop:
        press()
        with pytest.raises(Interrupted) as caught:
            signal.raise_signal(number)
        assert caught.value.exit_code == CODES[number]
        assert stop()


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    with deferred_signals() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_afterwards_signals_are_what_they_were_before():
    with deferred_signals():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        press()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_signal_that_is_ignored_since_stays_ignored():
    with deferred_signals():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_inside_gives_the_old_handler_back():
    with pytest.raises(RuntimeError), deferred_signals():
        raise RuntimeError
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_one_use_does_not_remember_the_signal_of_another():
    with deferred_signals() as first:
        press()
    with deferred_signals() as second:
        assert first()
        assert not second()
        press()  # the first of this one: noted, not raised
        assert second()


def test_another_thread_runs_undisturbed():
    found = []

    def work():
        with deferred_signals() as stop:
            found.append((stop(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [(False, signal.default_int_handler)]

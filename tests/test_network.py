"""Whether a server can be reached; only this machine is asked."""

import socket
import threading

import pytest

from compacter_cli import network
from compacter_cli.network import can_reach


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """No proxy, whatever the tests run in."""
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def listener():
    """A listening socket of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_a_server_that_listens_is_reached(listener):
    assert can_reach("127.0.0.1", listener.getsockname()[1]) is True


def test_a_port_that_nobody_listens_on_is_not(listener):
    port = listener.getsockname()[1]
    listener.close()
    assert can_reach("127.0.0.1", port) is False


def test_a_name_that_does_not_resolve_is_not(monkeypatch):
    def fail(*_):
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "create_connection", fail)
    assert can_reach("no.such.host") is False


def test_a_name_server_that_never_answers_is_given_up(monkeypatch):
    answered, finished = threading.Event(), threading.Event()

    def wait(*_):
        answered.wait(10)
        finished.set()
        raise OSError

    monkeypatch.setattr(network, "TIMEOUT", 0.01)
    monkeypatch.setattr(socket, "create_connection", wait)
    try:
        assert can_reach("slow.host") is False
        assert not finished.is_set()
    finally:
        answered.set()


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_is_taken_at_its_word(monkeypatch, name):
    def never(*_):
        raise AssertionError("asked around the proxy")

    monkeypatch.setattr(socket, "create_connection", never)
    monkeypatch.setenv(name, "http://proxy:3128")
    assert can_reach("no.such.host") is True

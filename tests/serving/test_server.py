import asyncio
import logging
import os
import signal
import socket
import sys
import types

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.serving import server
from compacter_cli.serving.limits import Limits
from compacter_cli.serving.server import address_of, check_installed, listening_at
from compacter_cli.training.signals import deferred_signals


def test_an_address_is_taken_by_one():
    with listening_at("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
        assert address_of(listening) == f"http://127.0.0.1:{port}"
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        with pytest.raises(UsageError, match=r"--port .*: Address already in use") as caught:
            listening_at("127.0.0.1", port)
        assert "0 is any free one" in caught.value.hint


def test_an_address_of_six_is_written_in_brackets():
    try:
        listening = listening_at("::1", 0)
    except UsageError:
        pytest.skip("this machine has no IPv6")
    with listening:
        assert address_of(listening).startswith("http://[::1]:")


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1", "a" * 300])
def test_an_address_that_is_not_this_machines_is_refused(host):
    with pytest.raises(UsageError, match="--host"):
        listening_at(host, 0)


@pytest.mark.parametrize("missing", server.NEEDED)
def test_a_package_that_is_not_installed_is_told(monkeypatch, missing):
    found = types.SimpleNamespace(origin="somewhere")
    monkeypatch.setattr(server, "find_spec", lambda name: None if name == missing else found)
    with pytest.raises(UsageError, match=f"serve needs {missing}") as caught:
        check_installed()
    assert caught.value.hint == 'pip install "compacter[serve]"'


def test_no_package_of_the_extra_is_imported_to_look_for_it(monkeypatch):
    for name in server.NEEDED:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(server, "find_spec", lambda name: types.SimpleNamespace(origin=name))
    check_installed()
    assert not set(server.NEEDED) & set(sys.modules)


@pytest.mark.extras
def test_a_second_signal_ends_it_at_once_without_a_word(capfd, monkeypatch):
    pytest.importorskip("uvicorn", reason='needs uvicorn: pip install "compacter[serve]"')

    monkeypatch.setattr(logging.getLogger("uvicorn.error"), "disabled", False)  # put back

    def press():
        os.kill(os.getpid(), signal.SIGINT)

    async def app(scope, receive, send):
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()  # it is told to end
        press()
        await asyncio.sleep(3600)  # it would never be through

    with listening_at("127.0.0.1", 0) as listening, deferred_signals() as stop:
        whole = server.run(app, listening, stop, press, 60, Limits())
    assert (whole, stop.signum) == (False, signal.SIGINT)
    assert capfd.readouterr().err == ""

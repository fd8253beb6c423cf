"""The server: its socket, and its end, at which what was accepted is answered first."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import math
import socket
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import CompacterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from compacter_cli.serving.asgi import App
    from compacter_cli.serving.limits import Limits

NEEDED = ("fastapi", "uvicorn", "prometheus_client")
EXTRA = 'pip install "compacter[serve]"'
_TICK = 0.05  # seconds between looks at whether it is to stop


def check_installed() -> None:
    """Raise `UsageError` unless the packages of the extra `serve` are installed."""
    for name in NEEDED:
        found = find_spec(name)
        if found is None or found.origin is None:  # a folder of that name is no package
            raise UsageError(f"serve needs {name}, which is not installed", EXTRA)


def listening_at(host: str, port: int) -> socket.socket:
    """A socket that listens: who connects waits until `run` answers. Port 0 is any free one.

    Raises:
        UsageError: there is no such address here, or it is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        made = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host {host}: {error}", "such as --host 127.0.0.1") from error
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen()  # two that are bound alone may share an address
    except OSError as error:
        made.close()
        taken = error.errno == errno.EADDRINUSE
        hint = "choose another --port; 0 is any free one" if taken else None
        raise UsageError(f"--host {host} --port {port}: {error.strerror}", hint) from error
    return made


def is_local(listening: socket.socket) -> bool:
    """Whether a socket can be reached from this machine alone."""
    return ipaddress.ip_address(listening.getsockname()[0].partition("%")[0]).is_loopback


def address_of(listening: socket.socket) -> str:
    """The URL of a listening socket."""
    host, port, *_ = listening.getsockname()
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def run(
    app: App,
    listening: socket.socket,
    stop: Callable[[], bool],
    ready: Callable[[], None],
    patience: float,
    limits: Limits,
) -> bool:
    """Serve until `stop` says so; then accept nothing more, and answer what was accepted.

    Args:
        app: ASGI application.
        listening: from `listening_at`.
        stop: is asked many times a second. Ctrl-C and SIGTERM end it too, and are then handed to
            whoever handled them before; a second one meanwhile leaves at once.
        ready: called once requests are accepted.
        patience: seconds that open requests have at the end.
        limits: of connections.

    Returns:
        Whether what was accepted is answered: no second signal came.

    Raises:
        CompacterError: it could not be started.
    """
    uvicorn = import_module("uvicorn")
    config = uvicorn.Config(
        app,
        http=_protocol(limits),
        lifespan="on",
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=math.ceil(patience),
    )
    server = _server(config)
    try:
        asyncio.run(_serve(server, listening, stop, ready))
    except SystemExit as error:  # uvicorn's, where the application does not start
        raise CompacterError("the server did not start") from error
    return not server.force_exit


def _server(config: Any) -> Any:
    """uvicorn's server, which a second signal ends without a word."""
    base: Any = import_module("uvicorn").Server

    class Quiet(base):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if not self.should_exit:
                super().handle_exit(sig, frame)
                return
            # Not handed on, to be raised amid the loop; nor does uvicorn tell of what is cut off.
            self.force_exit = True
            logging.getLogger("uvicorn.error").disabled = True
            # uvicorn may be waiting for the application's end already, and then looks no more.
            asyncio.get_running_loop().call_soon_threadsafe(self.lifespan.shutdown_event.set)

    return Quiet(config)


def _protocol(limits: Limits) -> Any:
    """uvicorn's HTTP/1.1, of whose connections each must ask something, and not be one too many."""
    # Where httptools is installed, HTTP is parsed in C: a tenth more answers a second.
    module, name = ("httptools", "HttpTools") if find_spec("httptools") else ("h11", "H11")
    implementation = import_module(f"uvicorn.protocols.http.{module}_impl")
    base: Any = getattr(implementation, f"{name}Protocol")

    class Bounded(base):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.close()
            self._mind()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._mind()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def _mind(self) -> None:
            """Let the time of the next request's head run, until that is there."""
            if self.cycle is not None and not self.cycle.response_complete:
                self._forget()
            elif self._timer is None:
                self._timer = self.loop.call_later(limits.head_seconds, self._close)

        def _forget(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None

        def _close(self) -> None:
            self.transport.close()

    return Bounded


async def _serve(
    server: Any, listening: socket.socket, stop: Callable[[], bool], ready: Callable[[], None]
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not (server.started or serving.done()):
        await asyncio.sleep(_TICK)
    if server.started:
        ready()
    while not (stop() or serving.done()):
        await asyncio.sleep(_TICK)
    server.should_exit = True
    await serving

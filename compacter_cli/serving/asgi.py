"""What stands before the application: who may ask, how much is read, and whether anyone waits.

Each is an ASGI application around another one.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import re
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from compacter_cli.serving.limits import Limits

    Message = dict[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[dict[str, Any], Receive, Send], Awaitable[None]]

LINGER = 5.0  # seconds in which a refused body is still taken, so that its sender reads why
OPEN = ("/", "/docs", "/openapi.json", "/healthz")  # to whoever reaches the server


async def refuse(
    receive: Receive,
    send: Send,
    status: int,
    detail: str,
    headers: Mapping[str, str] | None = None,
    unread: bool = True,
) -> None:
    """Answer a request with a `Refusal`, and close its connection.

    What is `unread` of the body is thrown away for a while: a connection that is closed while its
    other end still sends is reset, and the answer lost.
    """
    body = json.dumps({"detail": detail, "hint": None}).encode()
    fields = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        **(headers or {}),
    }
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(key.encode(), value.encode()) for key, value in fields.items()],
        }
    )
    await send({"type": "http.response.body", "body": body, "more_body": True})
    if unread:
        await _throw_away(receive)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _throw_away(receive: Receive) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while (await receive()).get("more_body"):
                pass


class Bearer:
    """Lets those ask who know a token, before anything of theirs is read.

    Args:
        app: what is asked.
        token: expected as `Authorization: Bearer <token>`, but for the paths of `OPEN`.
    """

    def __init__(self, app: App, token: str) -> None:
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN or self._is_known(scope):
            await self._app(scope, receive, send)
        else:
            said = "expected the header Authorization: Bearer <token>, with the server's token"
            await refuse(receive, send, 401, said, {"www-authenticate": "Bearer"})

    def _is_known(self, scope: dict[str, Any]) -> bool:
        scheme, _, given = _header(scope, b"authorization").partition(b" ")
        # In a time that does not tell how much of it is right.
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)


class Local:
    """Answers those who ask this machine by a name of its own.

    Without a token, a page from elsewhere could have its own name lead here, and read the answers.

    Args:
        app: what is asked.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _is_own(_header(scope, b"host").decode("latin-1")):
            await self._app(scope, receive, send)
        else:
            said = "expected the header Host: localhost or 127.0.0.1; with a token it may be any"
            await refuse(receive, send, 421, said)


def _is_own(host: str) -> bool:
    """Whether a Host header names this machine, as only this machine does."""
    name = re.sub(r":\d*$", "", host)
    try:
        return name.lower() == "localhost" or ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


class Bodies:
    """Reads bodies whole within bounds, and ends the work for a client that is gone.

    Args:
        app: what is asked.
        limits: of one body, of all, and of the time that one may take.

    Attributes:
        held: bytes of the bodies of all requests that are being read or answered.
    """

    def __init__(self, app: App, limits: Limits) -> None:
        self.held = 0
        self._app, self._limits = app, limits

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = bytearray()
        try:
            if int(_header(scope, b"content-length") or 0) > self._limits.body:
                await self._refuse_size(receive, send)
            elif await self._read(body, receive, send):
                await _while_there(self._app, scope, bytes(body), receive, send)
        finally:
            self.held -= len(body)

    async def _read(self, body: bytearray, receive: Receive, send: Send) -> bool:
        """Read a body to its end; or refuse it, or see its sender go, and say `False`."""
        more = True
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return False
                    part, more = message.get("body", b""), message.get("more_body", False)
                    body += part
                    self.held += len(part)
                    if len(body) > self._limits.body or self.held > self._limits.bodies:
                        break
                else:
                    return True
        except TimeoutError:
            said = f"the body did not come within {self._limits.body_seconds:g} s"
            await refuse(receive, send, 408, said, unread=False)
            return False
        if len(body) > self._limits.body:
            await self._refuse_size(receive, send, more)
        else:
            said = "too much is being asked at once; try again in a second"
            await refuse(receive, send, 503, said, {"retry-after": "1"}, more)
        return False

    async def _refuse_size(self, receive: Receive, send: Send, unread: bool = True) -> None:
        said = f"expected a body of at most {self._limits.body:,} bytes, got more"
        await refuse(receive, send, 413, said, unread=unread)


async def _while_there(
    app: App, scope: dict[str, Any], body: bytes, receive: Receive, send: Send
) -> None:
    """Run `app` on a request that is read, and cancel it when its client is gone."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        return next(messages, {"type": "http.disconnect"})

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    answering = asyncio.ensure_future(app(scope, replay, send))
    leaving = asyncio.ensure_future(gone())
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (answering, leaving):
            task.cancel()
        await asyncio.wait((answering, leaving))
    if not answering.cancelled():
        answering.result()


def _header(scope: dict[str, Any], name: bytes) -> bytes:
    return dict(scope["headers"]).get(name, b"")

import asyncio
import json
from dataclasses import replace

import pytest

from compacter_cli.serving import asgi
from compacter_cli.serving.asgi import Bearer, Bodies, Local
from compacter_cli.serving.limits import Limits

LIMITS = Limits(body=10, bodies=25, body_seconds=5)


class Client:
    """Sends parts of a body, then goes or stays, and takes what it is answered."""

    def __init__(self, *parts, headers=(), path="/v1/predict", goes=False, whole=True):
        self.scope = {"type": "http", "path": path, "headers": list(headers)}
        self.sent, self.took = [], 0
        self.gone = asyncio.Event()
        self._parts, self._goes, self._whole = [*parts], goes, whole

    async def receive(self):
        if self._parts:
            self.took += 1
            part = self._parts.pop(0)
            more = bool(self._parts) or not self._whole
            return {"type": "http.request", "body": part, "more_body": more}
        if not self._goes:
            await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.sent.append(message)

    @property
    def status(self):
        return self.sent[0]["status"]

    @property
    def headers(self):
        return {key.decode(): value.decode() for key, value in self.sent[0]["headers"]}

    @property
    def said(self):
        assert self.sent[-1]["more_body"] is False
        return json.loads(b"".join(message["body"] for message in self.sent[1:]))["detail"]


class App:
    """Answers with what it read."""

    def __init__(self):
        self.bodies, self.cancelled, self.holding = [], False, None

    async def __call__(self, scope, receive, send):
        self.bodies.append((await receive())["body"])
        if self.holding:
            try:
                await self.holding.wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def ask(client, app=None, limits=LIMITS):
    """The bounds around `app`, after one client has asked."""
    bodies = Bodies(app or App(), limits)
    asyncio.run(asyncio.wait_for(bodies(client.scope, client.receive, client.send), 20))
    assert bodies.held == 0
    return bodies


def test_a_body_within_bounds_is_read_whole():
    app, client = App(), Client(b"01234", b"56789")
    ask(client, app)
    assert (app.bodies, client.status) == ([b"0123456789"], 200)


def test_a_body_that_says_it_is_too_large_is_not_read_before_the_answer():
    app, client = App(), Client(b"0" * 11, headers=[(b"content-length", b"11")])
    taken = []
    receive = client.receive

    async def watched():
        taken.append(len(client.sent))
        return await receive()

    client.receive = watched
    ask(client, app)
    assert client.status == 413
    assert client.said == "expected a body of at most 10 bytes, got more"
    assert client.headers["connection"] == "close"
    assert app.bodies == []
    assert min(taken) == 2  # status and message were sent


def test_a_body_without_a_length_is_read_to_the_bound_alone_and_the_rest_thrown_away():
    app, client = App(), Client(*[b"01234"] * 1000)
    ask(client, app)
    assert (client.status, app.bodies) == (413, [])
    assert client.took == 1000  # so that its sender comes to reading the answer


def test_one_who_sends_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(asgi, "LINGER", 0.05)
    client = Client(b"0" * 11, whole=False)

    async def receive():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"0" * 11, "more_body": True}

    client.receive = receive
    ask(client)
    assert client.status == 413


def test_a_body_that_does_not_come_is_not_waited_for():
    client = Client(b"01", whole=False)
    ask(client, limits=replace(LIMITS, body_seconds=0.05))
    assert client.status == 408
    assert client.said == "the body did not come within 0.05 s"


def test_all_bodies_together_are_bounded_and_let_go_of_when_answered():
    async def inside():
        app = App()
        app.holding = asyncio.Event()
        bodies = Bodies(app, LIMITS)
        held = [Client(b"0123456789") for _ in range(2)]
        tasks = [asyncio.create_task(bodies(c.scope, c.receive, c.send)) for c in held]
        while len(app.bodies) < 2:
            await asyncio.sleep(0)
        assert bodies.held == 20
        more = Client(b"012345")
        await bodies(more.scope, more.receive, more.send)
        assert (more.status, more.headers["retry-after"]) == (503, "1")
        app.holding.set()
        await asyncio.gather(*tasks)
        assert [client.status for client in held] == [200, 200]
        assert bodies.held == 0

    asyncio.run(inside())


def test_work_for_a_client_that_is_gone_ends():
    app, client = App(), Client(b"0", goes=True)

    async def inside():
        app.holding = asyncio.Event()
        await asyncio.wait_for(Bodies(app, LIMITS)(client.scope, client.receive, client.send), 20)

    asyncio.run(inside())
    assert app.cancelled
    assert client.sent == []


def test_a_client_that_goes_before_its_body_is_there_asks_nothing():
    app, client = App(), Client(b"0", goes=True, whole=False)
    ask(client, app)
    assert (app.bodies, client.sent) == ([], [])


def test_what_fails_in_the_application_is_the_servers_to_tell():
    async def broken(scope, receive, send):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        ask(Client(b"0"), broken)


def test_what_is_no_request_is_passed_on():
    passed = []

    async def app(scope, receive, send):
        passed.append(scope["type"])

    async def inside():
        for around in (Bodies(app, LIMITS), Bearer(app, "token")):
            await around({"type": "lifespan"}, None, None)

    asyncio.run(inside())
    assert passed == ["lifespan", "lifespan"]


def guarded(client):
    app = App()
    asyncio.run(Bearer(app, "s3cret")(client.scope, client.receive, client.send))
    return app


@pytest.mark.parametrize("given", [b"Bearer s3cret", b"bearer  s3cret "])
def test_who_knows_the_token_is_let_in(given):
    client = Client(b"0", headers=[(b"authorization", given)])
    assert guarded(client).bodies == [b"0"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"s3cret")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer s3cre")],
        [(b"authorization", b"Bearer s3cret2")],
        [(b"authorization", b"Basic s3cret")],
        [(b"authorization", "Bearer s3cretä".encode())],
    ],
)
def test_who_does_not_is_refused_unread(headers):
    client = Client(b"0", headers=headers)
    assert guarded(client).bodies == []
    assert (client.status, client.headers["www-authenticate"]) == (401, "Bearer")
    assert client.said.startswith("expected the header Authorization: Bearer <token>")


@pytest.mark.parametrize(("path", "is_open"), [
    ("/", True), ("/healthz", True), ("/docs", True), ("/openapi.json", True),
    ("/metrics", False), ("/v1/adapters", False), ("/healthz/", False), ("//", False),
])  # fmt: skip
def test_the_pages_and_the_health_are_open(path, is_open):
    client = Client(b"", path=path)
    assert bool(guarded(client).bodies) is is_open


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (b"localhost", 200),
        (b"LOCALHOST:8000", 200),
        (b"127.0.0.1:8000", 200),
        (b"[::1]:8000", 200),
        (b"[::1]", 200),
        (b"127.0.0.1.evil.example:8000", 421),
        (b"evil.example", 421),
        (b"localhost.evil.example", 421),
        (b"192.0.2.1", 421),
        (b"\xff", 421),
        (b"", 421),
    ],
)
def test_only_a_name_of_this_machine_is_answered(host, status):
    app, client = App(), Client(b"x", headers=[(b"host", host)])
    asyncio.run(Local(app)(client.scope, client.receive, client.send))
    assert (client.status, len(app.bodies)) == (status, status == 200)

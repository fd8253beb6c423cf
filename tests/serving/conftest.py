"""A server on a real socket, whose model answers at once or when it is told to."""

import http.client
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.serving.app import application
from compacter_cli.serving.batching import Batcher
from compacter_cli.serving.limits import Limits
from compacter_cli.serving.messages import AdapterShown
from compacter_cli.serving.metrics import Meters
from compacter_cli.serving.server import listening_at, run


class Adapters:
    """Stands for `Served`: two adapters, of one text field and of a list, that repeat a text."""

    names = ("rte", "free text")

    def __init__(self):
        self.free, self.begun, self.answered = threading.Event(), threading.Event(), []
        self.free.set()

    def answer(self, texts, names):
        self.begun.set()
        assert self.free.wait(30)
        if "fail" in texts:
            raise ValueError("the model is out of order")
        self.answered += texts
        shares = {"rte": {"yes": 0.75, "no": 0.25}, "free text": None}
        return [(text[:20], shares[name]) for text, name in zip(texts, names, strict=True)]

    def shown(self):
        made = {"task": "t", "method": "m", "labels": ["yes", "no"], "source_length": 9}
        return [
            AdapterShown(name=name, fields=["a", "b"], lists=["b"], written="a: ... b: ...", **made)
            for name in self.names
        ]

    def sources(self, name, rows):
        if any("a" not in row for row in rows):
            raise UsageError('row 1 lacks the field "a"', "t reads a, b")
        return [str(row["a"]) for row in rows]


@dataclass
class Server:
    """A running server, and ways to ask it."""

    port: int
    served: Adapters
    told: list = field(default_factory=list)

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None, **headers):
        """Status, headers and content of an answer; JSON is read."""
        connection = self.connect()
        data = json.dumps(body).encode() if isinstance(body, (dict, list)) else body
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        if isinstance(body, (dict, list)):
            named = {"content-type": "application/json", **named}
        connection.request(method, path, data, named)
        response = connection.getresponse()
        text = response.read()
        connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return response.status, response.headers, json.loads(text) if is_json else text.decode()

    def predict(self, adapter="rte", **question):
        return self.ask("POST", "/v1/predict", {"adapter": adapter, **question})


@pytest.fixture
def serving():
    """Runs a server: `with serving(Limits(...), token) as server`."""
    pytest.importorskip("fastapi", reason='needs FastAPI: pip install "compacter[serve]"')

    @contextmanager
    def started(limits=Limits(), token=None, local=False):
        served, meters, stop, ready = Adapters(), Meters(), threading.Event(), threading.Event()
        batcher = Batcher(served.answer, limits, meters.batch)
        meters.follow(lambda: batcher.waiting)
        app = application(served, batcher, meters, limits, token, local)
        listening = listening_at("127.0.0.1", 0)
        given = (app, listening, stop.is_set, ready.set, 10, limits)
        thread = threading.Thread(target=run, args=given, daemon=True)
        thread.start()
        assert ready.wait(60)
        server = Server(listening.getsockname()[1], served)
        server.stop, server.thread, server.batcher = stop, thread, batcher
        try:
            yield server
        finally:
            served.free.set()
            stop.set()
            thread.join(60)
            assert not thread.is_alive()

    return started

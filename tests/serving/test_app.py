"""What is answered at which path, over a real socket, by a model that stands for one."""

import contextlib
import socket
import threading
import time

import pytest

from compacter_cli.serving.limits import Limits

pytestmark = pytest.mark.extras


@pytest.fixture
def server(serving):
    with serving() as server:
        yield server


def wait_for(condition, seconds=30):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.01)


def in_threads(*calls):
    """What calls give that are made at once."""
    found = [None] * len(calls)

    def keep(place, call):
        found[place] = call()

    threads = [threading.Thread(target=keep, args=pair) for pair in enumerate(calls)]
    for thread in threads:
        thread.start()
    return threads, found


def test_texts_are_answered_with_probabilities(server):
    status, _, found = server.predict(texts=["one", "two"])
    assert status == 200
    shares = {"yes": 0.75, "no": 0.25}
    assert found == {
        "adapter": "rte",
        "answers": [
            {"prediction": "one", "probabilities": shares},
            {"prediction": "two", "probabilities": shares},
        ],
    }


def test_rows_are_answered_and_free_text_has_no_probabilities(server):
    status, _, found = server.predict("free text", rows=[{"a": "one", "b": ["x"], "idx": 3}])
    assert status == 200
    assert found["answers"] == [{"prediction": "one", "probabilities": None}]


@pytest.mark.parametrize(
    ("question", "status", "said", "hint"),
    [
        ({"adapter": "rt", "texts": ["x"]}, 404, 'no adapter "rt"', 'did you mean "rte"?'),
        ({"adapter": "rte"}, 422, "Field required", "how to ask is at /docs"),
        ({"adapter": "rte", "texts": []}, 422, "at least 1 item", None),
        ({"adapter": "rte", "texts": ["x"] * 257}, 422, "at most 256 items", None),
        ({"adapter": "rte", "texts": "x"}, 422, "valid list", None),
        ({"adapter": "rte", "texts": ["x"], "rows": [{"a": "x"}]}, 422, "Extra inputs", None),
        ({"adapter": "rte", "texts": ["x"], "temperature": 1}, 422, "Extra inputs", None),
        ({"adapter": "rte", "rows": [{"b": "x"}]}, 422, 'lacks the field "a"', "t reads a, b"),
        ({"adapter": "rte", "rows": [{"a": None}]}, 422, "rows.0.a", None),
        ({"adapter": "rte", "texts": ["a\0b"]}, 422, "text 1 holds a NUL", None),
        ({"adapter": "rte", "texts": ["x", "\ud800"]}, 422, "texts.1: Input should be", None),
        ({"adapter": "\ud800", "texts": ["x"]}, 422, "adapter: Input should be", None),
        ({"adapter": "x" * 201, "texts": ["x"]}, 422, "at most 200 characters", None),
        ({"adapter": "rte", "rows": [{"\ud800": {}}]}, 422, "rows.0", None),
        ([], 422, "", None),
    ],
)
def test_what_cannot_be_answered_is_told(server, question, status, said, hint):
    found, _, refusal = server.ask("POST", "/v1/predict", question)
    assert found == status
    assert said in refusal["detail"]
    assert hint is None or refusal["hint"] == hint


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 422),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff", "application/json", 400),
        (b'{"adapter": "rte", "texts": ["x"]}', "text/plain", 422),  # no page elsewhere may send it
    ],
)
def test_what_is_no_json_is_told(server, body, kind, status):
    found, _, refusal = server.ask("POST", "/v1/predict", body, content_type=kind)
    assert found == status
    assert refusal["detail"]


def test_a_header_that_is_missing_is_told(server):
    _, _, refusal = server.ask("POST", "/v1/predict", b"{}", content_type="text/plain")
    wanted = "expected the header content-type: application/json. Received: text/plain"
    assert refusal["detail"] == wanted


def test_other_paths_and_methods_are_told_alike(server):
    assert server.ask("GET", "/nothing")[::2] == (404, {"detail": "Not Found", "hint": None})
    assert server.ask("GET", "/v1/predict")[0] == 405


def test_the_adapters_are_listed(server):
    status, _, found = server.ask("GET", "/v1/adapters")
    assert status == 200
    assert [one["name"] for one in found["adapters"]] == ["rte", "free text"]
    assert found["adapters"][0]["fields"] == ["a", "b"]


def test_health_is_told(server):
    assert server.ask("GET", "/healthz")[::2] == (200, {"status": "ok"})
    server.batcher._worker.get_loop().call_soon_threadsafe(server.batcher._worker.cancel)
    wait_for(lambda: not server.batcher.alive)
    assert server.ask("GET", "/healthz")[::2] == (503, {"status": "not answering"})
    status, headers, refusal = server.predict(texts=["one"])
    assert (status, "retry-after" in headers) == (503, False)
    assert "nothing is answered any more" in refusal["detail"]


def test_the_numbers_are_prometheus(server):
    server.predict(texts=["one", "two"])
    server.predict("nobody", texts=["one"])
    status, headers, text = server.ask("GET", "/metrics")
    assert status == 200
    assert headers.get_content_type() == "text/plain"
    lines = text.splitlines()
    for line in (
        'compacter_texts_total{adapter="rte"} 2.0',
        'compacter_responses_total{status="200"} 1.0',
        'compacter_responses_total{status="404"} 1.0',
        "compacter_batch_texts_sum 2.0",
        "compacter_batch_adapters_sum 1.0",
        "compacter_waiting_texts 0.0",
    ):
        assert line in lines
    assert "nobody" not in text  # or anyone could make it grow
    assert any(line.startswith("process_resident_memory_bytes") for line in lines)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_the_pages_are_told_to_load_nothing_from_elsewhere(server, path):
    status, headers, text = server.ask("GET", path)
    assert status == 200
    assert headers.get_content_type() == "text/html"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "/v1/predict" in text or "v1/predict" in text


def test_a_model_that_fails_is_told_and_goes_on(server):
    status, _, refusal = server.predict(texts=["fail"])
    assert (status, refusal["detail"]) == (500, "the model failed; the server's output says why")
    assert server.predict(texts=["one"])[0] == 200
    assert "compacter_failures_total 1.0" in server.ask("GET", "/metrics")[2].splitlines()


def test_beyond_the_line_it_is_said_when_to_try_again(serving):
    with serving(Limits(batch=1, waiting=2)) as server:
        server.served.free.clear()
        calls = [lambda: server.predict(texts=["one"])]
        threads, first = in_threads(*calls)
        assert server.served.begun.wait(30)
        more, others = in_threads(lambda: server.predict(texts=["two", "three"]))
        wait_for(lambda: server.batcher.waiting == 2)
        status, headers, refusal = server.predict(texts=["four"])
        assert (status, headers["retry-after"]) == (429, "1")
        assert "too many texts are waiting" in refusal["detail"]
        server.served.free.set()
        for thread in threads + more:
            thread.join(30)
        assert [status for status, _, _ in first + others] == [200, 200]


def test_an_answer_that_is_late_is_told(serving):
    with serving(Limits(answer_seconds=0.2)) as server:
        server.served.free.clear()
        status, headers, refusal = server.predict(texts=["one"])
        assert (status, headers["retry-after"]) == (503, "1")
        assert refusal["detail"] == "no answer within 0.2 s"


def test_a_body_beyond_the_bound_is_refused_with_a_length_and_without(serving):
    with serving(Limits(body=1000)) as server:
        assert server.ask("POST", "/v1/predict", b"0" * 1001)[0] == 413
        endless = (b"0" * 100_000 for _ in range(100))  # 10 MB in chunks, without a length
        status, _, refusal = server.ask("POST", "/v1/predict", endless)
        assert (status, refusal["detail"]) == (
            413,
            "expected a body of at most 1,000 bytes, got more",
        )


def test_who_does_not_know_the_token_is_not_answered(serving):
    with serving(token="s3cret") as server:
        assert server.ask("GET", "/v1/adapters")[0] == 401
        assert server.ask("GET", "/metrics")[0] == 401
        assert server.predict(texts=["one"])[0] == 401
        assert server.ask("GET", "/v1/adapters", authorization="Bearer s3cret")[0] == 200
        assert server.ask("GET", "/")[0] == 200
        _, _, described = server.ask("GET", "/openapi.json")
        assert "HTTPBearer" in described["components"]["securitySchemes"]
        assert "401" in described["paths"]["/v1/predict"]["post"]["responses"]


def test_what_a_client_that_is_gone_asked_is_not_computed(serving):
    with serving(Limits(batch=1)) as server:
        server.served.free.clear()
        threads, found = in_threads(lambda: server.predict(texts=["one"]))
        assert server.served.begun.wait(30)
        with socket.create_connection(("127.0.0.1", server.port)) as gone:
            body = b'{"adapter": "rte", "texts": ["nobody waits"]}'
            head = b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            gone.sendall(head + b"content-length: %d\r\n\r\n" % len(body) + body)
            wait_for(lambda: server.batcher.waiting == 1)
        wait_for(lambda: server.batcher.waiting == 0)
        server.served.free.set()
        threads[0].join(30)
        assert found[0][0] == 200
        assert server.served.answered == ["one"]


def test_at_the_end_nothing_new_is_accepted_and_what_was_is_answered(serving):
    with serving(Limits(batch=2)) as server:
        server.served.free.clear()
        calls = [lambda n=n: server.predict(texts=[f"text {n}"]) for n in range(9)]
        threads, found = in_threads(*calls)
        wait_for(lambda: server.served.begun.is_set() and server.batcher.waiting >= 7)
        server.stop.set()
        wait_for(lambda: not _answers(server.port))
        assert server.thread.is_alive()
        server.served.free.set()
        for thread in threads:
            thread.join(30)
        server.thread.join(30)
        assert not server.thread.is_alive()
    assert [status for status, _, _ in found] == [200] * 9
    assert [told["answers"][0]["prediction"] for _, _, told in found] == [
        f"text {n}" for n in range(9)
    ]


def _answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_without_a_token_no_name_that_leads_here_is_answered(serving):
    with serving(local=True) as server:
        assert server.ask("GET", "/v1/adapters")[0] == 200
        assert server.ask("GET", "/v1/adapters", host="evil.example")[0] == 421
    with serving(token="s3cret", local=True) as server:
        known = {"authorization": "Bearer s3cret", "host": "behind.example"}
        assert server.ask("GET", "/v1/adapters", **known)[0] == 200


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nG"])
def test_who_sends_no_whole_head_is_let_go(serving, sent):
    with (
        serving(Limits(head_seconds=0.3)) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as idle,
        contextlib.suppress(ConnectionError),  # closed before all was sent
    ):
        idle.sendall(sent)
        while idle.recv(1000):  # until it is closed
            pass


def test_an_answer_may_take_longer_than_a_head(serving):
    with serving(Limits(head_seconds=1)) as server:
        server.served.free.clear()
        threads, found = in_threads(lambda: server.predict(texts=["one"]))
        assert server.served.begun.wait(30)
        time.sleep(1.2)
        server.served.free.set()
        threads[0].join(30)
        assert found[0][0] == 200


def test_beyond_so_many_connections_the_next_is_closed(serving):
    with serving(Limits(connections=2)) as server:
        where = ("127.0.0.1", server.port)
        idle = [socket.create_connection(where, timeout=30) for _ in range(3)]
        assert idle[2].recv(1) == b""
        for one in idle:
            one.close()
        wait_for(lambda: _is_answered(server))


def _is_answered(server):
    try:
        return server.ask("GET", "/healthz")[0] == 200
    except OSError:
        return False

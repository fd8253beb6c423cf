"""`compacter serve` as a process: bodies without end, files that go, SIGTERM under load."""

import contextlib
import http.client
import json
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

pytestmark = [pytest.mark.extras, pytest.mark.slow]
MB = 1_000_000


class Program:
    """The process, once it answers."""

    def __init__(self, *options, code=None):
        program = ("-c", code) if code else ("-m", "compacter_cli")
        command = [sys.executable, "-P", *program, "serve", "--port", "0", "--json"]
        self.process = subprocess.Popen(
            [*command, "--device", "cpu", *map(str, options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = ""
        while not said.endswith("}\n"):
            line = self.process.stdout.readline()
            assert line, self.process.stderr.read()
            said += line
        self.told = json.loads(said)
        self.port = int(self.told["address"].rpartition(":")[2])

    def predict(self, adapter, texts):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        body = json.dumps({"adapter": adapter, "texts": texts})
        connection.request("POST", "/v1/predict", body, {"content-type": "application/json"})
        response = connection.getresponse()
        found = json.loads(response.read())
        connection.close()
        return response.status, found

    def number(self, name):
        """A number of /metrics."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"{name} "))

    def until_nobody_is_let_in(self):
        """Wait until it has noticed that it is to end."""
        with contextlib.suppress(ConnectionError):
            while True:
                socket.create_connection(("127.0.0.1", self.port), timeout=60).close()
                time.sleep(0.01)

    def peak(self):
        """Most memory that it has had, in bytes."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return next(1024 * int(line.split()[1]) for line in file if line.startswith("VmHWM"))


@pytest.fixture
def start(keras, smoke_run, tmp_path):
    """Starts the program with two copies of a run, `one` and `two`, in `tmp_path`."""
    pytest.importorskip("fastapi", reason='needs FastAPI: pip install "compacter[serve]"')
    started = []

    def start(*options, code=None):
        runs = [shutil.copytree(smoke_run, tmp_path / name) for name in ("one", "two")]
        adapters = [part for run in runs for part in ("--adapter", f"{run.name}={run}")]
        started.append(Program(*adapters, *options, code=code))
        return started[-1]

    yield start
    for program in started:
        program.process.kill()
        program.process.communicate()


def upload(port, length):
    """What is answered to a body of a gigabyte, sent until then; `length` says how it begins."""
    head = (
        b"POST /v1/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        + length
    )
    part = b"%x\r\n" % MB + bytes(MB) + b"\r\n"  # a chunk; as good as any bytes with a length
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sending:
        sending.sendall(head + b"\r\n\r\n")
        for _ in range(1000):
            if select.select([sending], [], [], 0)[0]:
                break
            sending.sendall(part)
        answer = b""
        while not answer.endswith(b"}") and (more := sending.recv(100_000)):
            answer += more  # head and body may come apart
        return answer.decode()


def test_a_gigabyte_is_refused_in_little_memory_and_files_may_go(start, tmp_path):
    program = start()
    assert program.told["adapters"] == ["one", "two"]
    text = "sentence: iron apple zinc"
    before = program.predict("one", [text])
    assert before[0] == 200
    peak = program.peak()
    for length in (b"content-length: 1000000000", b"transfer-encoding: chunked"):
        answer = upload(program.port, length)
        assert answer.startswith("HTTP/1.1 413 ")
        assert "expected a body of at most 1,000,000 bytes, got more" in answer
    assert program.peak() - peak < 30 * MB
    for name in ("one", "two"):
        shutil.rmtree(tmp_path / name)
    assert program.predict("one", [text]) == before
    assert program.predict("two", [text])[1]["answers"] == before[1]["answers"]


# The program, whose model does something before it answers.
DOING = """
import os, sys, time
from compacter_cli.main import main
from compacter_cli.serving.served import Served
real = Served.answer
def answer(self, texts, names):
    if texts != [""]:  # what it tries before it is asked
        {}
    return real(self, texts, names)
Served.answer = answer
main()
"""


def test_sigterm_under_load_loses_nothing_that_was_accepted(start, tmp_path):
    held = tmp_path / "held"
    held.touch()
    waits = f"while os.path.exists({str(held)!r}): time.sleep(0.01)"
    program = start("--batch-size", "8", "--timeout", "100", code=DOING.format(waits))
    words = ("iron", "apple", "zinc", "copper", "peach")
    asked = [[f"sentence: {words[(n + m) % 5]} {n}" for n in range(64)] for m in range(4)]
    found = [None] * 4

    def ask(place):
        found[place] = program.predict(("one", "two")[place % 2], asked[place])

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 60
    while program.number("compacter_waiting_texts") < 4 * 64 - 8:
        assert time.monotonic() < until
    program.process.send_signal(signal.SIGTERM)
    program.until_nobody_is_let_in()
    held.unlink()
    for thread in threads:
        thread.join(120)
    assert [status for status, _ in found] == [200] * 4
    assert [len(answers["answers"]) for _, answers in found] == [64] * 4
    _, said = program.process.communicate(timeout=60)
    assert program.process.returncode == 143
    assert json.loads(said.splitlines()[-1]) == {
        "error": "stopped; what was accepted is answered",
        "next": None,
        "exit_code": 143,
    }
    assert "Traceback" not in said


def test_a_second_signal_amid_a_computation_that_never_ends_is_told_and_no_abort(start):
    # A thread that Python's end meets in torch would abort the process.
    computes = "import torch; print('computing', file=sys.stderr, flush=True)\n"
    computes += "        while True: torch.ones(300, 300) @ torch.ones(300, 300)"
    program = start(code=DOING.format(computes))

    def ask():
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):  # it is cut off
            program.predict("one", ["sentence: iron apple zinc"])

    thread = threading.Thread(target=ask)
    thread.start()
    while program.process.stderr.readline() not in ("computing\n", ""):
        pass
    program.process.send_signal(signal.SIGINT)
    program.until_nobody_is_let_in()
    program.process.send_signal(signal.SIGINT)
    _, said = program.process.communicate(timeout=60)
    thread.join(60)
    assert program.process.returncode == 130, said
    assert json.loads(said.splitlines()[-1])["error"] == "stopped at once, by a second signal"
    assert len(said.splitlines()) == 1

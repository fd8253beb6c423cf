"""The worker: one JSON answer on stdout whatever is foreseen, and no life after its parent's."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.profiling import worker
from compacter_cli.profiling.job import Job, Probe, as_plain
from compacter_cli.profiling.worker import carry_out

JOB = Job({}, target=3, steps=2, device="cpu")


@pytest.fixture
def measuring(monkeypatch):
    """Puts a function in the place of measuring."""

    def put(function):
        monkeypatch.setattr("compacter_cli.profiling.measure.measure", function)

    return put


def raising(error):
    def measure(job):
        raise error

    return measure


@pytest.fixture
def answered(monkeypatch):
    """Runs `main` in this process; gives (what it wrote to stdout, what went to stderr)."""
    monkeypatch.setattr(worker, "end_with_parent", lambda parent: None)

    def run(asked):
        out, err = io.StringIO(), io.StringIO()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", io.StringIO(json.dumps(as_plain(asked))))
            patched.setattr(sys, "stdout", out)
            patched.setattr(sys, "stderr", err)
            worker.main()
        return out.getvalue(), err.getvalue()

    return run


def program(asked, code=None):
    """A finished real process: the worker, or `code` in its place."""
    what = ("-c", code) if code else ("-m", "compacter_cli.profiling.worker")
    given = asked if isinstance(asked, str) else json.dumps(as_plain(asked))
    return subprocess.run(
        [sys.executable, *what], input=given, capture_output=True, text=True, timeout=120
    )


def test_a_probe_is_answered_with_what_there_is():
    import torch

    done = program(Probe("cpu", threads=1))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {"device", "device_name", "threads", "torch", "free_bytes"}
    assert (found["device"], found["device_name"], found["threads"]) == ("cpu", "cpu", 1)
    assert found["torch"] == torch.__version__


def test_a_job_is_answered_with_its_costs(answered, measuring):
    jobs = []
    measuring(lambda job: jobs.append(job) or {"batch": 2})
    assert answered(JOB) == ('{"batch": 2}', "")
    assert jobs == [JOB]


def test_what_cannot_be_is_an_answer_with_its_hint(answered):
    out, _ = answered(Probe("tpu"))
    found = json.loads(out)
    assert "--device tpu" in found["failed"]
    assert found["usage"] is True
    assert found["hint"]
    assert "memory" not in found


@pytest.mark.parametrize(
    ("error", "usage"), [(UsageError("no", "do"), True), (CompacterError("no", "do"), False)]
)
def test_a_known_error_is_its_line_and_says_whose_mistake_it_is(measuring, error, usage):
    measuring(raising(error))
    assert carry_out(JOB) == {"failed": "no", "hint": "do", "usage": usage}


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
        ValueError("Exception encountered when calling layer: std::bad_alloc"),
    ],
)
def test_memory_that_runs_out_is_an_answer(measuring, error):
    measuring(raising(error))
    assert carry_out(JOB) == {"failed": "out of memory", "memory": True}


def test_a_thread_without_a_stack_is_memory_only_within_a_budget(measuring):
    measuring(raising(RuntimeError("Resource temporarily unavailable")))
    limited = replace(JOB, budget=10**8)
    assert carry_out(limited) == {"failed": "out of memory", "memory": True}
    with pytest.raises(RuntimeError, match="temporarily"):
        carry_out(JOB)


def test_any_other_error_is_raised(measuring):
    measuring(raising(ValueError("n")))
    with pytest.raises(ValueError, match="n"):
        carry_out(JOB)


def test_an_unknown_failure_is_a_traceback_and_exit_1():
    code = (
        "from compacter_cli.profiling import worker\n"
        "def carry_out(asked): raise ValueError('n')\n"
        "worker.carry_out = carry_out\n"
        "worker.main()"
    )
    ends = {"ValueError: n": program(JOB, code), "json.decoder.JSONDecodeError": program("none")}
    for last, done in ends.items():
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("Traceback")
        assert done.stderr.splitlines()[-1].startswith(last)


def test_what_libraries_print_does_not_reach_the_answer(answered, measuring):
    def measure(job):
        print("welcome to a library")
        sys.stdout.write("1 %")
        return {"batch": 2}

    measuring(measure)
    out, err = answered(JOB)
    assert json.loads(out) == {"batch": 2}
    assert err == "welcome to a library\n1 %"


def test_it_ends_when_its_parent_was_killed():
    # Not at the end of its stdin alone: it has read its question, and measures.
    child = (
        "import os, time\n"
        "from compacter_cli.profiling import worker\n"
        "def carry_out(asked):\n"
        "    os.write(2, f'{os.getpid()}\\n'.encode())\n"
        "    time.sleep(600)\n"
        "worker.carry_out = carry_out\n"
        "worker.main()"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE)\n"
        f"child.stdin.write({json.dumps(as_plain(JOB))!r}.encode())\n"
        "child.stdin.close()\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stderr=subprocess.PIPE) as process:
        child_id = int(process.stderr.readline())
        assert _runs(child_id)
        process.kill()
    for _ in range(1000):
        if not _runs(child_id):
            return
        time.sleep(0.05)
    os.kill(child_id, signal.SIGKILL)
    pytest.fail("the child still runs")


def _runs(process_id):
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    with contextlib.suppress(OSError):  # ended, and not yet collected
        return ") Z" not in Path(f"/proc/{process_id}/stat").read_text()
    return False

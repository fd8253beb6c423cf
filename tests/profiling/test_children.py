"""Child processes: what they answer, and what is said of those that do not."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compacter_cli.profiling import children
from compacter_cli.profiling.children import failure, run_job, shortened


def test_a_child_answers_a_probe():
    found = run_job({"probe": "cpu", "threads": 1}, threads=1)
    assert found["device"] == found["device_name"] == "cpu"
    assert found["threads"] == 1
    assert found["free_bytes"] is None or found["free_bytes"] > 0


def test_what_cannot_be_asked_for_comes_back_with_a_hint():
    found = run_job({"probe": "tpu", "threads": None})
    assert found["usage"]
    assert "--device tpu" in found["failed"]
    assert found["hint"]


def test_a_child_that_breaks_says_its_last_line(monkeypatch):
    monkeypatch.setattr(children, "WORKER", "compacter_cli.no_such_module")
    monkeypatch.setattr(children, "LONGEST_REASON", 1_000)  # it begins with the program's path
    assert "No module named compacter_cli" in run_job({})["failed"]


@pytest.mark.parametrize(("code", "name"), [(-9, "SIGKILL"), (-6, "SIGABRT"), (-11, "SIGSEGV")])
def test_a_child_that_is_killed_has_likely_had_no_memory(code, name):
    assert failure(code, "") == {"failed": f"killed ({name}), out of memory?", "memory": True}


def test_a_child_that_fails():
    assert failure(1, "Traceback\nValueError: n\n") == {"failed": "ValueError: n"}
    assert failure(1, "") == {"failed": "no message"}


def test_reasons_are_short():
    assert shortened("a reason\nand more") == "a reason"
    assert len(shortened("x" * 200)) == children.LONGEST_REASON


def test_a_child_does_not_outlive_an_interrupted_command(monkeypatch):
    started = []

    class Interrupted(children.subprocess.Popen):
        def communicate(self, *_):
            started.append(self)
            raise KeyboardInterrupt

    monkeypatch.setattr(children.subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_job({"probe": "cpu", "threads": None})
    assert started[0].returncode == -9


def test_a_child_ends_when_its_parent_was_killed():
    child = (
        "import os, threading, time\n"
        "from compacter_cli.profiling.worker import end_with_parent\n"
        "threading.Thread(target=end_with_parent, args=[os.getppid(), 0.01]).start()\n"
        "print(os.getpid(), flush=True)\n"
        "time.sleep(600)"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", parent], stdout=subprocess.PIPE) as process:
        child_id = int(process.stdout.readline())
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

"""Child processes: what they answer, and what is said of those that do not."""

import pytest

from compacter_cli.profiling import children
from compacter_cli.profiling.children import failure, run_job, run_probe, shortened
from compacter_cli.profiling.job import Job, Probe


def test_a_child_answers_a_probe():
    found = run_probe(Probe("cpu", threads=1))
    assert found["device"] == found["device_name"] == "cpu"
    assert found["threads"] == 1
    assert found["free_bytes"] is None or found["free_bytes"] > 0


def test_what_cannot_be_asked_for_comes_back_with_a_hint():
    found = run_probe(Probe("tpu"))
    assert found["usage"]
    assert "--device tpu" in found["failed"]
    assert found["hint"]


def test_a_child_that_breaks_says_its_last_line(monkeypatch):
    monkeypatch.setattr(children, "WORKER", "compacter_cli.no_such_module")
    monkeypatch.setattr(children, "LONGEST_REASON", 1_000)  # it begins with the program's path
    assert "No module named compacter_cli" in run_probe(Probe("cpu"))["failed"]


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
        run_job(Job({}, 3, 2, "cpu"))
    assert started[0].returncode == -9

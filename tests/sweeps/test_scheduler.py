"""The scheduler over any executor: every job once, those that died again, none after a stop."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from compacter_cli.sweeps.children import Job
from compacter_cli.sweeps.executors import Slots, gpus
from compacter_cli.sweeps.scheduler import run_all


def job(name):
    return Job(directory="d", run=name, recipe={})


def outcomes(run, names="abc", workers=2):
    """`{job: outcomes}` of jobs that an executor runs by `run`."""
    found = {}
    with ThreadPoolExecutor(workers) as executor:
        run_all(
            [job(name) for name in names],
            executor,
            lambda job, outcome: found.setdefault(job.run, []).append(outcome["state"]),
            run=run,
        )
    return found


def test_every_job_ends_once():
    assert outcomes(lambda job: {"state": "finished"}) == {name: ["finished"] for name in "abc"}


def test_one_that_died_is_tried_once_more():
    calls = []

    def run(job):
        calls.append(job.run)
        return {"state": "died" if calls.count(job.run) == 1 else "finished"}

    assert outcomes(run) == {name: ["finished"] for name in "abc"}
    assert sorted(calls) == list("aabbcc")


def test_a_death_is_told_before_the_second_try():
    told = []
    with ThreadPoolExecutor(1) as executor:
        run_all(
            [job("a")],
            executor,
            lambda job, outcome: told.append("ended"),
            lambda job, outcome: told.append(outcome["error"]),
            run=lambda job: {"state": "died", "error": "killed"},
        )
    assert told == ["killed", "ended"]


def test_one_that_dies_again_is_given_up():
    assert outcomes(lambda job: {"state": "died"}, "a") == {"a": ["died"]}


def test_one_that_failed_is_not_tried_again():
    calls = []

    def run(job):
        calls.append(job.run)
        return {"state": "failed"}

    assert outcomes(run, "a") == {"a": ["failed"]}
    assert calls == ["a"]


def test_a_lost_worker_is_told_and_tried_again():
    calls = []

    def run(job):
        calls.append(job)
        raise OSError("gone")

    assert outcomes(run, "a") == {"a": ["died"]}
    assert len(calls) == 2


def test_what_waits_is_not_begun_after_an_error():
    begun, go = [], threading.Event()

    def run(job):
        begun.append(job.run)
        go.wait(5)
        return {"state": "finished"}

    def look():
        go.set()
        raise KeyboardInterrupt

    with ThreadPoolExecutor(1) as executor, pytest.raises(KeyboardInterrupt):
        run_all([job(name) for name in "abc"], executor, lambda *_: None, look=look, run=run)
    assert begun == ["a"]


def test_workers_take_the_gpus_in_turn():
    seen, together = [], threading.Barrier(2, timeout=5)

    def run(job):
        together.wait()
        seen.append(job.gpu)
        return {"state": "finished"}

    outcomes(Slots(2, ["4", "7"], run), "abcd")
    assert sorted(seen) == ["4", "4", "7", "7"]


def test_without_gpus_nothing_is_hidden():
    seen = []

    def run(job):
        seen.append(job.gpu)
        return {"state": "finished"}

    outcomes(Slots(2, [], run), "ab")
    assert seen == [None, None]


@pytest.mark.parametrize(
    ("visible", "expected"), [("0,2", ["0", "2"]), ("", []), ("-1", []), ("GPU-ab", ["GPU-ab"])]
)
def test_gpus_are_those_that_a_process_may_see(monkeypatch, visible, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus() == expected

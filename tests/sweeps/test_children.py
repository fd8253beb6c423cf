"""A run in a process of its own: its outcome, its stop, its death, its orphan."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.sweeps.children import Job, run_in_child
from compacter_cli.training.run_directory import read_result

PLACE = "runs/one"


def job(directory, *settings, **more):
    recipe = load_recipe("demo/smoke_compacterpp", ["train.score_before=false", *settings])
    return Job(
        directory=str(directory), run=PLACE, recipe=recipe.plain(), device="cpu", threads=1, **more
    )


@pytest.fixture
def long_run(tmp_path):
    """A job of many epochs that runs in a thread: its directory, the thread, its outcome."""
    outcome = {}
    asked = job(tmp_path, "train.epochs=500", "train.save_every=5")
    thread = threading.Thread(target=lambda: outcome.update(run_in_child(asked)))
    thread.start()
    wait_for(lambda: list((tmp_path / PLACE / "state").glob("0*")))
    yield tmp_path, thread, outcome
    (tmp_path / "stop").touch()
    thread.join()


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


def process_of(directory):
    return int((directory / PLACE / ".lock").read_text())


def test_a_run_finishes_in_a_child_and_says_so_in_its_log(tmp_path):
    assert run_in_child(job(tmp_path, "train.epochs=1")) == {"state": "finished"}
    assert read_result(tmp_path / PLACE)["epochs"] == 1
    assert "epoch 1: loss" in (tmp_path / "logs" / "one.log").read_text()


def test_a_run_that_fails_gives_the_reason(tmp_path):
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "mine.txt").write_text("mine")
    outcome = run_in_child(job(tmp_path))
    assert (outcome["state"], outcome["exit_code"]) == ("failed", 2)
    assert "is not a run" in outcome["error"]


def test_a_stop_saves_the_state_and_a_run_goes_on(long_run):
    directory, thread, outcome = long_run
    (directory / "stop").touch()
    thread.join(120)
    assert outcome == {"state": "stopped"}
    assert list((directory / PLACE / "state").glob("0*"))
    assert not (directory / PLACE / ".lock").exists()


def test_a_child_that_is_killed_died(long_run):
    directory, thread, outcome = long_run
    os.kill(process_of(directory), signal.SIGKILL)
    thread.join(120)
    assert outcome["state"] == "died"
    assert "SIGKILL" in outcome["error"]


@pytest.mark.slow
def test_an_orphan_saves_its_state_and_leaves(tmp_path):
    asked = job(tmp_path, "train.epochs=500")
    code = (
        "import json, sys; from compacter_cli.sweeps.children import Job, run_in_child; "
        "run_in_child(Job(**json.loads(sys.argv[1])))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, json.dumps(vars(asked))])
    wait_for(lambda: (tmp_path / PLACE / "metrics.jsonl").exists())
    child = process_of(tmp_path)
    parent.kill()
    parent.wait()
    wait_for(lambda: not (tmp_path / PLACE / ".lock").exists())
    assert list((tmp_path / PLACE / "state").glob("0*"))
    wait_for(lambda: not is_alive(child))


def is_alive(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

"""`compacter sweep` as a command: plans, errors, a sweep from its beginning to its end."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from compacter_cli.main import app

SMALL = (
    "--set", "train.epochs=2", "--set", "train.score_before=false",
    "--set", "data.max_train_samples=60",
)  # fmt: skip
SMOKE = ("--recipe", "demo/smoke_compacterpp", *SMALL)


def invoke(*words):
    return CliRunner().invoke(app, ["sweep", *map(str, words)])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A finished sweep of two settings and what its command said."""
    place = tmp_path_factory.mktemp("sweeps") / "smoke"
    grid = ("--grid", "method.n=2,4", "--device", "cpu", "--threads", "1", "--output", place)
    return place, invoke(*SMOKE, *grid, "--workers", "2")


def lines_of(place):
    return [json.loads(line) for line in (place / "index.jsonl").read_text().splitlines()]


def test_a_sweep_says_what_it_did_and_what_is_next(done):
    place, result = done
    assert result.exit_code == 0, result.output
    assert "smoke_compacterpp on demo/smoke: 2 finished" in result.stdout
    assert f"next: compacter report {place}" in result.stdout
    assert "2 runs to do, 0 there" in result.stderr
    assert "demo/smoke smoke_compacterpp n=2 seed 42: test " in result.stderr


def test_every_run_is_a_line_of_the_index(done):
    first, second = lines_of(done[0])
    assert [first["setting"], second["setting"]] == [{"method.n": 2}, {"method.n": 4}]
    assert first["state"] == second["state"] == "finished"
    assert (done[0] / first["run"] / "best" / "adapter.safetensors").is_file()


def test_what_is_there_is_kept_and_what_is_missing_added(done, tmp_path):
    place, _ = done
    before = {line["run"]: (place / line["run"] / "result.json").stat().st_mtime_ns
              for line in lines_of(place)}  # fmt: skip
    result = invoke(
        *SMOKE, "--grid", "method.n=2,4,8", "--device", "cpu", "--threads", "1", "--output", place
    )
    assert result.exit_code == 0, result.output
    assert "1 run to do, 2 there" in result.stderr
    assert len(lines_of(place)) == 3
    assert before == {run: (place / run / "result.json").stat().st_mtime_ns for run in before}


def test_a_plan_lists_runs_and_writes_nothing(tmp_path):
    place = tmp_path / "none"
    result = invoke("table2", "--dry-run", "--no-estimate", "--output", place)
    assert result.exit_code == 0, result.output
    assert "264 runs (264 waiting)" in result.stdout
    assert "time, paper's GPU" in result.stdout
    assert "and 244 more" in result.stdout
    assert not place.exists()


def test_a_plan_for_machines_has_every_run(tmp_path):
    result = invoke(
        "table1", "--reported", "--task", "glue/rte", "--dry-run", "--no-estimate", "--json",
        "--output", tmp_path / "x",
    )  # fmt: skip
    plan = json.loads(result.stdout)
    assert len(plan["runs"]) == plan["total"]["runs"] == 12
    assert plan["total"]["updates"] == 10 * 500 + 2 * 500  # the two prompts' batch is 50 x 2


@pytest.mark.slow
def test_a_plan_measures_steps_of_this_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("COMPACTER_CACHE", str(tmp_path))
    result = invoke(*SMOKE, "--dry-run", "--device", "cpu", "--output", tmp_path / "x")
    assert result.exit_code == 0, result.output
    assert "measuring a step of compacterpp (1 of 1)" in result.stderr
    assert "time here: training steps on cpu" in result.stdout
    assert "memory: weights and what a step takes beyond them" in result.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "expected the name of a sweep, or --recipe"),
        (("table1", "--recipe", "demo/smoke_compacterpp"), "not both"),
        (("nothing",), 'no sweep "nothing"'),
        (("demo", "--grid", "method.n="), "expected section.key=value,value"),
        (("demo", "--grid", "method.m=4"), "none of its methods has method.m"),
        (("demo", "--set", "train.epoch=3"), "unknown key"),
        (("demo", "--seeds", "x"), "expected whole numbers"),
        (("table1", "--arm", "lora"), "the sweep has none of that name"),
    ],
)
def test_what_cannot_be_is_told_before_anything_is_done(tmp_path, words, said):
    result = invoke(*words, "--dry-run", "--no-estimate", "--output", tmp_path / "x")
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


@pytest.mark.parametrize("dry", [("--dry-run", "--no-estimate"), ()])
def test_another_sweeps_directory_is_refused(done, dry):
    result = invoke("demo", "--output", done[0], *dry)
    assert result.exit_code == 2
    assert "holds the sweep smoke_compacterpp, not demo" in result.stderr


def test_data_that_is_not_here_is_missed_before_anything_is_trained(tmp_path):
    result = invoke(
        "table1", "--task", "glue/rte", "--arm", "full", "--offline", "--output", tmp_path / "x",
        "--set", "backbone.preset=random/tiny", "--set", f"data.data_dir={tmp_path}",
    )  # fmt: skip
    assert result.exit_code == 3, result.output
    assert not (tmp_path / "x").exists()


@pytest.mark.slow
def test_a_failed_run_ends_no_other_and_is_retried_on_request(tmp_path):
    place = tmp_path / "sweep"
    words = (*SMOKE, "--seeds", "1,2", "--device", "cpu", "--threads", "1", "--output", place)
    plan = json.loads(invoke(*words, "--dry-run", "--no-estimate", "--json").stdout)
    strange = place / plan["runs"][0]["run"]
    invoke_first = ("--dry-run", "--no-estimate")
    assert invoke(*words, *invoke_first).exit_code == 0
    strange.mkdir(parents=True)
    (strange / "mine.txt").write_text("mine")
    (place / "sweep.toml").write_text(_toml(words))
    result = invoke(*words)
    assert result.exit_code == 1, result.output
    assert [line["state"] for line in lines_of(place)] == ["failed", "finished"]
    assert "seed 1 failed" in result.stderr
    assert "--retry" in result.stderr
    assert (strange / "mine.txt").read_text() == "mine"
    (strange / "mine.txt").unlink()
    assert invoke(*words).exit_code == 1
    assert invoke(*words, "--retry").exit_code == 0
    assert [line["state"] for line in lines_of(place)] == ["finished", "finished"]


def _toml(words):
    """The sweep that a command line asks for, as its directory holds it."""
    from compacter_cli.commands.sweep import asked_for

    return asked_for(None, ["demo/smoke_compacterpp"], None, "1,2", words[3:8:2]).toml()


@pytest.mark.slow
def test_ctrl_c_saves_what_runs_and_the_same_command_goes_on(tmp_path):
    place = tmp_path / "sweep"
    words = [
        "sweep", "--recipe", "demo/smoke_compacterpp", "--set", "train.epochs=12", "--seeds", "1,2",
        "--set", "train.score_before=false", "--device", "cpu", "--threads", "1",
        "--output", str(place),
    ]  # fmt: skip
    command = [sys.executable, "-m", "compacter_cli", *words]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 90
    while not list(place.glob("runs/*/*/*/*/metrics.jsonl")):
        assert time.monotonic() < until
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGINT)
    _, said = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "interrupted: of 2 runs 0 ended, and what was running is saved" in said
    assert [line["state"] for line in lines_of(place)] == ["unfinished", "waiting"]
    assert not (place / "stop").exists()
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=200)
    assert json.loads(again.stdout)["states"] == {"finished": 2}
    (resumed,) = [
        line for line in lines_of(place)
        if "resumed" in json.loads((place / line["run"] / "environment.json").read_text())
    ]  # fmt: skip
    assert resumed["seed"] == 1

"""Trainings that are killed with -9, at any moment, and go on to the bits of one that was not."""

import json
import os
import random
import re
import runpy
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compacter_cli.training.checkpoints import newest

SMALL = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["SMALL"]
KILLS = int(os.environ.get("COMPACTER_FAULT_KILLS", "6"))
METHODS = {
    "compacterpp": (),
    "said": ("method={name='said', intrinsic_dim=200}",),
    "prompt_r": ("method={name='prompt_r', length=5}",),
    "bitfit": ("method={name='bitfit'}",),
    "full": ("method={name='full'}", "train.learning_rate=1e-3"),
}


def update_in(directory):
    """Number of the update that the newest state is of, 0 where there is none; all are whole."""
    found = newest(directory)
    assert not found.damaged
    return found.checkpoint.state.update if found.checkpoint else 0


def last_step(directory):
    """The last update of metrics.jsonl; a line that was cut short is none."""
    path = directory / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
    entries = [json.loads(line) for line in lines if line.endswith("\n")]
    return max((entry["step"] for entry in entries), default=0)


def killed_after(command, seconds):
    """Whether a command was killed with -9 after some time, and not done before."""
    time.sleep(seconds)
    command.send(signal.SIGKILL)
    return command.wait().code == -signal.SIGKILL


def go_on_through(kills, train, whole, bits, tmp_path, sets=()):
    """Kill trainings at random moments and resume them until `kills` were; all end alike."""
    draw, done, runs = random.Random(kills), 0, 0
    expected = whole(*sets)
    began = time.perf_counter()
    train(tmp_path / "timed", sets=sets).ended(0)
    longest = time.perf_counter() - began
    while done < kills:
        directory, before = tmp_path / f"run{runs}", 0
        while killed_after(train(directory, "--resume", sets=sets), draw.uniform(0, longest)):
            done += 1
            if (directory / "result.json").exists():
                break
            now = update_in(directory)
            assert before <= now
            assert last_step(directory) <= now + 1  # one save lost at most
            before = now
            if done >= kills:
                break
        train(directory, "--resume", sets=sets).ended(0)
        assert bits(directory) == expected
        runs += 1


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("method", METHODS)
def test_a_training_killed_at_any_moment_ends_with_the_same_bits(
    method, train, whole, bits, tmp_path
):
    kills = KILLS if method == "compacterpp" else max(2, KILLS // 10)
    go_on_through(kills, train, whole, bits, tmp_path, METHODS[method])


# At every point of a save: `forking.py` says which operations of the disk are counted.


def operations(train, tmp_path, sets=()):
    """All operations of the disk of a whole run, in order."""
    note = tmp_path / "operations"
    train(tmp_path / "noted", sets=sets, before=f"die_at_operation(0, {str(note)!r})").ended(0)
    return note.read_text().splitlines()


def kill_at(number, train, whole, bits, tmp_path, sets=()):
    """Kill a run before an operation: what was saved is whole, and goes on to the same bits."""
    directory = tmp_path / f"run{number}"
    killed = train(directory, sets=sets, before=f"die_at_operation({number})").wait()
    assert killed.code == -signal.SIGKILL
    if (directory / "state").is_dir():
        assert last_step(directory) <= update_in(directory) + 1
    train(directory, "--resume", sets=sets).ended(0)
    assert bits(directory) == whole(*sets)  # nothing half written is left, either


@pytest.mark.slow
def test_a_kill_at_any_point_of_one_save_loses_nothing(train, whole, bits, tmp_path):
    done = operations(train, tmp_path)
    # From the metrics of the second update to the first write of the third save.
    begin = next(n for n, line in enumerate(done, 1) if "state/00000002" in line) - 2
    end = next(n for n, line in enumerate(done, 1) if "state/00000003" in line) + 1
    kinds = [line.split()[0] for line in done[begin - 1 : end]]
    assert kinds[:3] == ["append_json", "sync", "rmtree"]  # of an earlier process of this number
    assert kinds[3:9] == [*3 * ["write_durably"], "sync", "rename", "sync"]
    assert "rmtree" in kinds[9:]  # what was set aside, and the state that is no longer kept
    for number in range(begin, end + 1):
        kill_at(number, train, whole, bits, tmp_path)


def test_metrics_are_on_the_disk_before_the_state_that_follows_them(train, tmp_path):
    done = [line.partition(" ") for line in operations(train, tmp_path)]
    states = [
        n for n, (kind, _, place) in enumerate(done) if kind == "rename" and "state/" in place
    ]
    assert len(states) == 8  # of six updates and two epochs
    for end in states:
        places = {kind + Path(place).name: n for n, (kind, _, place) in enumerate(done[:end])}
        assert places["append_jsonmetrics.jsonl"] < places["syncmetrics.jsonl"]


def test_a_kill_between_predictions_and_result_finishes_again(train, whole, bits, tmp_path):
    module = "compacter_cli.training.predictions"
    die = f"at_call({module!r}, 'write_predictions', 1, lambda *_: die(), after=True)"
    assert train(tmp_path / "run", before=die).wait().code == -signal.SIGKILL
    there = sorted(entry.name for entry in (tmp_path / "run").iterdir())
    assert "predictions.jsonl" in there
    assert "result.json" not in there
    assert "going on after update 6 of 6" in train(tmp_path / "run", "--resume").ended(0)
    assert bits(tmp_path / "run") == whole()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_kill_at_any_point_of_a_run_loses_nothing(train, whole, bits, tmp_path):
    short = ("train.epochs=2", "data.max_train_samples=8")  # an update an epoch
    for number in range(1, len(operations(train, tmp_path, short)) + 1):
        kill_at(number, train, whole, bits, tmp_path, short)


# A pretraining, which saves in its own way.

PRETRAIN = ("vocabulary.size=150", "vocabulary.sentinels=8", "backbone.hidden_dim=16",
            "backbone.intermediate_dim=32", "backbone.num_layers=1", "backbone.num_heads=2",
            "backbone.key_value_dim=8", "backbone.dropout=0.1", "train.steps=12",
            "train.batch_size=8", "train.length=16", "train.warmup_steps=2", "train.eval_every=5",
            "train.save_every=1", "output.precision=float32")  # fmt: skip


@pytest.fixture
def pretrain(start, tmp_path):
    """Starts a pretraining of twelve updates that saves each."""
    letters = ["ba", "ko", "ri", "tu", "mel", "gor", "sim"]
    words = [a + b for a in letters for b in letters]
    lines = [" ".join(words[n * k % 49] for k in range(3, 4 + n % 9)) for n in range(1, 201)]
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"{line} {n}." for n, line in enumerate(lines)), encoding="utf-8")
    overrides = [part for each in (*PRETRAIN, f'text.files=["{text}"]') for part in ("--set", each)]

    def pretrain(output, *options):
        return start("pretrain", "--recipe", "demo/pretrain", *overrides, "--device", "cpu",
                     "--output", output, *options)  # fmt: skip

    return pretrain


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_pretraining_killed_at_any_moment_ends_with_the_same_bits(pretrain, tmp_path):
    began = time.perf_counter()
    pretrain(tmp_path / "whole").ended(0)
    draw, longest, kills = random.Random(1), time.perf_counter() - began, max(3, KILLS // 10)
    directory = tmp_path / "run"
    for number in range(kills):
        begun = (directory / "state").is_dir()
        command = pretrain(directory, "--resume" if begun else "--overwrite")
        if not killed_after(command, draw.uniform(0, longest)):
            shutil.move(directory, tmp_path / f"done{number}")
    if not (directory / "state").is_dir():
        pretrain(directory, "--overwrite").ended(0)
    else:
        pretrain(directory, "--resume").ended(0)
    for run in (directory, *tmp_path.glob("done*")):
        for name in ("model.weights.h5", "metrics.jsonl", "recipe.toml"):
            assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), run
        assert not list(run.glob("*.new-*"))


# Started by a shell, at the cost of loading everything each time.


@pytest.mark.slow
def test_a_command_killed_in_the_midst_goes_on_to_the_same_bits(tmp_path, whole, bits):
    longer = "train.epochs=20"  # sixty updates, so that a busy machine kills it in their midst, too
    words = [sys.executable, "-m", "compacter_cli", *SMALL, "--set", longer]
    words += ["--output", str(tmp_path / "run")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for update in (2, 20):
        begun = [*words, "--resume"] if update > 2 else words
        with subprocess.Popen(begun, stderr=subprocess.DEVNULL, env=environment) as process:
            while last_step(tmp_path / "run") < update:
                assert process.poll() is None
                time.sleep(0.002)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    done = subprocess.run([*words, "--resume"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = re.search("going on after update ([0-9]+) of 60", done.stderr)
    assert int(found[1]) >= 19  # the save of the one that was written down last may be lost
    assert bits(tmp_path / "run") == whole(longer)

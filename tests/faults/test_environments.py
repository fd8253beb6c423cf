"""Machines that are not as usual: no TensorFlow, little memory, odd clocks and terminals."""

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time

import pytest

from compacter_cli.training.checkpoints import newest

NO_TENSORFLOW = "raise SystemExit('tensorflow was imported')\n"


@pytest.mark.slow
def test_a_machine_without_tensorflow_trains_scores_and_answers(killed, tmp_path):
    for name in ("tensorflow", "tensorflow_text", "tf_keras"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        (tmp_path / "broken" / name / "__init__.py").write_text(NO_TENSORFLOW)
    path = os.pathsep.join([str(tmp_path / "broken"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    small = ("--set", "train.epochs=1", "--set", "data.max_train_samples=8")
    for words in (
        ("train", "--recipe", "demo/smoke_compacterpp", *small, "--output", "run"),
        ("evaluate", "--run", "run"),
        ("predict", "--run", "run", "--text", "sentence: iron apple zinc"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "compacter_cli", *words], cwd=tmp_path, env=environment,
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)
        assert "tensorflow" not in done.stderr


OUT_OF_MEMORY = """
def refused(*_args, **_options):
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")
at_step(4, lambda *_: at_call(import_module("compacter_cli.t5.model").T5Model, "summed_loss", 1, refused))
"""  # noqa: E501


def test_memory_that_runs_out_gives_advice_and_keeps_what_was_saved(train, whole, bits, tmp_path):
    said = train(tmp_path / "run", before=OUT_OF_MEMORY).ended(1)
    assert "out of memory, training with 4 and evaluating with 100 examples at once" in said
    assert f"what is saved in {tmp_path / 'run'} is intact" in said
    assert "--set train.batch_size=2 --set train.accumulate=4" in said
    assert newest(tmp_path / "run").checkpoint.state.update == 3
    train(tmp_path / "run", "--resume").ended(0)
    assert bits(tmp_path / "run") == whole()


# Back to 1970, then ahead by a century, then back.
JUMPS = "times = iter([0.0, 4e9, 1.0] * 10_000); time.time = lambda: next(times)"


def test_a_clock_that_jumps_changes_nothing(train, whole, bits, tmp_path):
    train(tmp_path / "run", before=JUMPS + "\nat_step(4, lambda *_: die())").wait()
    assert newest(tmp_path / "run").checkpoint.state.update == 3
    train(tmp_path / "run", "--resume", before=JUMPS).ended(0)
    assert bits(tmp_path / "run") == whole()


def test_runs_of_the_same_second_have_directories_of_their_own(start, tmp_path):
    words = ("train", "--recipe", "demo/smoke_compacterpp", "--device", "cpu", "--json",
             "--set", "train.epochs=1", "--set", "data.max_train_samples=4")  # fmt: skip
    clock = "time.time = lambda: 1.0"
    runs = [
        start(*words, "--seed", seed, "--set", f"output.root={tmp_path}", before=clock)
        for seed in (1, 2, 1)
    ]
    codes = [run.wait().code for run in runs]
    assert codes[1] == 0
    assert sorted(codes) == [0, 0, 2]  # of two of the same recipe one is refused
    places = {json.loads(run.printed)["run"] for run in runs if run.code == 0}
    assert len(places) == 2


@pytest.mark.parametrize(
    ("encoding", "columns"), [("ascii", "1"), ("latin-1", "20"), ("ascii", "none")]
)
def test_no_terminal_width_or_encoding_ends_a_training(
    train, whole, bits, tmp_path, encoding, columns
):
    before = f"""
import sys
os.environ.update(COLUMNS={columns!r}, NO_COLOR="1", TERM="dumb", LC_ALL="C", LANG="C")
sys.stdout.reconfigure(encoding={encoding!r})
sys.stderr.reconfigure(encoding={encoding!r})
"""
    train(tmp_path / "run", before=before).ended(0)
    assert bits(tmp_path / "run") == whole()


@pytest.mark.parametrize("columns", [1, 40, 0])
def test_a_terminal_of_any_width_shows_a_training_to_its_end(train, whole, bits, tmp_path, columns):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 5, columns, 0, 0))
    shown = []

    def read():
        try:
            while more := os.read(ours, 10_000):
                shown.append(more)
        except OSError:  # its other end is closed
            pass

    reader = threading.Thread(target=read)
    reader.start()
    run = train(tmp_path / "run", before="slow_down(0.05)", err=os.ttyname(theirs)).wait()
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert run.code == 0, b"".join(shown)
    assert b"Traceback" not in b"".join(shown)
    assert bits(tmp_path / "run") == whole()


def test_without_network_and_data_it_takes_a_moment_to_say_what_there_is_to_do(start, tmp_path):
    start("--version").ended(0)  # so that nothing is to be loaded first
    began = time.monotonic()
    recipe = ("--recipe", "glue/rte_compacterpp", "--set", "backbone.preset=random/tiny")
    words = ("train", *recipe, "--set", f"data.data_dir={tmp_path}", "--offline")
    said = start(*words, "--output", tmp_path / "run").ended(3)
    assert time.monotonic() - began < 60  # half a second; a download's tries take minutes
    assert "loading torch" not in said
    for part in (str(tmp_path), "RTE.zip", "data.archive", "data.folder", "glue/RTE/train.tsv"):
        assert part in said
    assert not (tmp_path / "run").exists()

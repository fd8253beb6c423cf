"""Ctrl-C, SIGTERM, SIGHUP and terminals that go away while a command trains."""

import os
import pty
import signal
import subprocess
import sys
import threading
import time

import pytest

from compacter_cli.training.checkpoints import newest

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def has_lines(directory, count):
    """Whether metrics.jsonl has at least so many lines, as a function."""
    path = directory / "metrics.jsonl"
    return lambda: path.is_file() and path.read_text().count("\n") >= count


@pytest.mark.parametrize("number", CODES)
def test_the_first_signal_saves_and_tells_a_command_that_goes_on(
    number, train, go_on, whole, bits, tmp_path
):
    held = tmp_path / "held"
    at = f"at_step(3, hold({str(held)!r}))"
    run = train(tmp_path / "run", before=at, sets=("train.save_every=100",))
    run.until_held(held)
    run.send(number)
    held.unlink()
    said = run.ended(CODES[number])
    assert "interrupted after update 3 of 6, saved whole; go on with: compacter train " in said
    found = newest(tmp_path / "run")
    assert (found.checkpoint.state.update, found.damaged) == (3, {})
    again = go_on(said)
    assert "going on after update " in again.ended(0)
    assert bits(tmp_path / "run") == whole("train.save_every=100")


@pytest.mark.parametrize("number", CODES)
def test_the_second_signal_leaves_at_once_with_the_last_save_whole(
    number, train, whole, bits, tmp_path
):
    held = tmp_path / "held"
    run = train(tmp_path / "run", before=f"at_step(4, hold({str(held)!r}))")
    run.until_held(held)
    run.send(signal.SIGINT)
    run.until_held(held)  # the update goes on
    run.send(number)
    said = run.ended(CODES[number])
    assert held.exists()  # it was not waited for
    assert said.splitlines()[-1].startswith(
        "interrupted at once, and what was saved last is whole; "
    )
    found = newest(tmp_path / "run")
    assert (found.checkpoint.state.update, found.damaged) == (3, {})
    train(tmp_path / "run", "--resume").ended(0)
    assert bits(tmp_path / "run") == whole()


@pytest.mark.parametrize("operation", ["write_durably", "sync", "swap_in"])
def test_a_second_signal_in_the_midst_of_a_save_costs_that_save_alone(
    operation, train, whole, bits, tmp_path
):
    twice = "send(signal.SIGTERM, signal.SIGTERM)"
    at = f"at_step(4, lambda *_: at_call(files, '{operation}', 1, {twice}))"
    train(tmp_path / "run", before=at).ended(143)
    found = newest(tmp_path / "run")
    assert (found.checkpoint.state.update, found.damaged) == (3, {})
    train(tmp_path / "run", "--resume").ended(0)
    assert bits(tmp_path / "run") == whole()


@pytest.mark.parametrize(
    ("when", "said"),
    [
        # The validation of the first epoch, and the test.
        ("at_call('compacter_cli.training.loop', 'evaluate', 1, send(signal.SIGTERM))",
         "interrupted after update 3 of 6"),
        ("at_call('compacter_cli.training.scoring', 'evaluate', 1, send(signal.SIGTERM))",
         "go on with: compacter train --recipe "),
    ],
)  # fmt: skip
def test_a_signal_while_it_scores_goes_on_to_the_same_bits(
    when, said, train, go_on, whole, bits, tmp_path
):
    stopped = train(tmp_path / "run", before=when).ended(143)
    assert said in stopped
    go_on(stopped).ended(0)
    assert bits(tmp_path / "run") == whole()


def test_a_hangup_that_is_ignored_as_under_nohup_stops_nothing(train, whole, bits, tmp_path):
    hangup = "signal.signal(signal.SIGHUP, signal.SIG_IGN); at_step(3, send(signal.SIGHUP))"
    train(tmp_path / "run", before=hangup).ended(0)
    assert bits(tmp_path / "run") == whole()


@pytest.mark.slow
def test_a_command_under_nohup_outlives_its_terminal(train, bits, tmp_path):
    command = train(tmp_path / "other", sets=("train.epochs=20",))  # for its words, and to compare
    command.ended(0)
    words = [*command.words[:-1], str(tmp_path / "run")]
    begun = ["nohup", sys.executable, "-m", "compacter_cli", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with subprocess.Popen(begun, stderr=subprocess.DEVNULL, env=environment) as process:
        trains = has_lines(tmp_path / "run", 1)
        while not trains():
            assert process.poll() is None
            time.sleep(0.002)
        process.send_signal(signal.SIGHUP)  # of sixty updates some are to come
    assert process.returncode == 0
    assert bits(tmp_path / "run") == bits(tmp_path / "other")


def test_a_terminal_that_goes_away_is_no_reason_to_end(train, whole, bits, tmp_path):
    ours, theirs = pty.openpty()
    read = []
    reader = threading.Thread(target=lambda: read.append(os.read(ours, 1000)))
    reader.start()
    run = train(tmp_path / "run", before="slow_down(0.05)", err=os.ttyname(theirs))
    run.until(has_lines(tmp_path / "run", 2))
    os.close(theirs)
    reader.join()
    os.close(ours)
    assert run.wait().code == 0
    assert read[0]
    assert bits(tmp_path / "run") == whole()

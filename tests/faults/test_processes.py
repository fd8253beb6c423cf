"""Two real processes that train one run over gloo, of which one is killed or told to stop."""

import json
import os
import signal
import subprocess
import sys

import pytest

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.training.checkpoints import newest

pytestmark = pytest.mark.slow
STILL = ("train.dropout=0.0",)
DIE_AT_FIVE = "at_step(5, lambda *_: die())"


@pytest.fixture
def meeting():
    """Makes the environment of each of two processes, with a store of neither's, as torchrun's."""
    from torch.distributed import TCPStore

    stores = []

    def meeting():
        stores.append(TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False))
        shared = {
            "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(stores[-1].port), "TORCHELASTIC_USE_AGENT_STORE": "True",
        }  # fmt: skip
        return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]

    return meeting


@pytest.fixture
def two(train, meeting):
    """Starts a training in two processes, `faults` first in each; gives both."""

    def two(output, *options, sets=(), faults=("", "")):
        places = zip(meeting(), faults, strict=True)
        befores = [f"os.environ.update({place}); {fault or 'pass'}" for place, fault in places]
        return [train(output, *options, sets=sets, before=before) for before in befores]

    return two


def losses(directory):
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["loss"] for line in lines]


def near(directory, other):
    """That two runs are the same but for rounding."""
    assert losses(directory) == pytest.approx(losses(other), rel=1e-5)
    one, two = (load_adapter(place / "last").tensors for place in (directory, other))
    assert all((one[name] - two[name]).abs().max() < 1e-4 for name in one)
    answers = [(place / "predictions.jsonl").read_text() for place in (directory, other)]
    assert answers[0] == answers[1]


def told(processes, code):
    """What two processes said that ended with a code: each line once."""
    said = [process.ended(code) for process in processes]
    assert sum("error:" in each or "interrupted" in each for each in said) == (code != 0)
    return said


def test_two_compute_what_one_does_and_the_main_one_tells(two, train, tmp_path):
    train(tmp_path / "one", sets=STILL).ended(0)
    main, other = two(tmp_path / "two", sets=STILL)
    assert told((main, other), 0)[1] == ""
    assert "on cpu, by 2 processes" in main.said
    assert "accuracy" in main.printed
    assert other.printed == ""
    near(tmp_path / "two", tmp_path / "one")
    environment = json.loads((tmp_path / "two" / "environment.json").read_text())
    assert environment["processes"] == 2


@pytest.mark.parametrize("killed", [0, 1])
def test_one_is_killed_and_two_go_on_to_the_same_bits(two, bits, tmp_path, killed):
    told(two(tmp_path / "whole"), 0)
    faults = ["", ""]
    faults[killed] = DIE_AT_FIVE
    processes = two(tmp_path / "run", faults=faults)
    assert processes.pop(killed).wait().code == -signal.SIGKILL
    said = processes[0].ended(1)
    assert said.count("error: another process of this run has ended") == 1
    assert newest(tmp_path / "run").checkpoint.state.update == 4
    main, _ = again = two(tmp_path / "run", "--resume")
    told(again, 0)
    assert "going on after update 4 of 6" in main.said
    assert "computed by" not in main.said
    assert bits(tmp_path / "run") == bits(tmp_path / "whole")


def test_one_goes_on_with_what_two_began_to_rounding_and_says_so(two, train, tmp_path):
    train(tmp_path / "one", sets=STILL).ended(0)
    for process in two(tmp_path / "run", sets=STILL, faults=(DIE_AT_FIVE, "")):
        process.wait()
    said = train(tmp_path / "run", "--resume", sets=STILL).ended(0)
    assert "the run was computed by 2 at a time and is by 1: the last digits may differ" in said
    near(tmp_path / "run", tmp_path / "one")


@pytest.mark.parametrize("told_to", [0, 1])
def test_a_signal_to_one_stops_both_after_the_same_update(two, bits, tmp_path, told_to):
    sets = ("train.save_every=100",)
    told(two(tmp_path / "whole", sets=sets), 0)
    faults = ["", ""]
    faults[told_to] = "at_step(4, send(signal.SIGTERM))"
    said = "".join(told(two(tmp_path / "run", sets=sets, faults=faults), 143))
    assert "interrupted after update 4 of 6, saved whole; go on with: torchrun --nproc-per-" in said
    assert newest(tmp_path / "run").checkpoint.state.update == 4
    told(two(tmp_path / "run", "--resume", sets=sets), 0)
    assert bits(tmp_path / "run") == bits(tmp_path / "whole")


def test_a_signal_while_they_score_stops_both(two, tmp_path):
    sending = "at_call('compacter_cli.training.loop', 'evaluate', 1, send(signal.SIGTERM))"
    told(two(tmp_path / "run", faults=("", sending)), 143)
    assert newest(tmp_path / "run").checkpoint.state.update == 3


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_of_one_ends_both_and_is_told_once(two, tmp_path, failing):
    faults = ["", ""]
    faults[failing] = (
        "errors = import_module('compacter_cli.errors')\n"
        "def fail(*_): raise errors.MissingResourceError('no such thing')\n"
        "at_step(3, fail)"
    )
    said = told(two(tmp_path / "run", faults=faults), 3)
    assert "error: no such thing" in said[failing]


def test_a_directory_that_is_taken_is_told_once(two, train, tmp_path):
    train(tmp_path / "run").ended(0)
    said = "".join(told(two(tmp_path / "run"), 2))
    assert "holds a run already (finished)" in said
    main, other = two(tmp_path / "run", "--resume")
    told((main, other), 0)
    assert "there is nothing to go on with" in main.said
    assert other.said + other.printed == ""


def test_a_run_is_not_replaced_by_processes_that_differ(two, train, tmp_path):
    train(tmp_path / "run").ended(0)
    other = "import_module('compacter_cli.training.session').hash_of = lambda _: 'another'"
    said = "".join(told(two(tmp_path / "run", "--overwrite", faults=("", other)), 1))
    assert "process 1 has another recipe than the main one" in said
    assert (tmp_path / "run" / "result.json").exists()


def test_torchrun_starts_them_and_ends_with_them(train, tmp_path):
    command = train(tmp_path / "run", "--resume", sets=STILL)  # for its words
    command.ended(0)
    words = list(command.words)
    words[words.index("--output") + 1] = str(tmp_path / "two")
    launched = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launched += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0"]
    done = subprocess.run(
        [*launched, "-m", "compacter_cli", *words], capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("writing to ") == 1
    assert done.stdout.count("next: compacter ") == 1
    near(tmp_path / "two", tmp_path / "run")


PARTING = """
import time
from contextlib import suppress
from pathlib import Path
from compacter_cli.training.joining import joined

def there():
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it ended after it was listed
            if "gloo" in (name := (task / "comm").read_text()):
                yield name
with suppress(Exception), joined("cpu") as processes:
    from compacter_cli.t5.runtime import hide_tensorflow, start_keras
    hide_tensorflow()
    start_keras()
    import compacter_cli.training.session
    processes.wait()
    before = [*there()]
    {end}
until = time.monotonic() + 60
while [*there()] and time.monotonic() < until:  # who has ended may be listed for a moment
    time.sleep(0.01)
print(len(before) > 0, *there())
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="no threads are named here")
@pytest.mark.parametrize("end", ["pass", "raise OSError"])
def test_no_thread_of_the_group_outlives_it(meeting, end):
    """One that lets go of a tensor after Python's end aborts a process that has done all."""
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PARTING.format(end=end)], stdout=subprocess.PIPE, text=True,
            env={**os.environ, **place, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        )
        for place in meeting()
    ]  # fmt: skip
    assert [process.communicate()[0].strip() for process in both] == ["True", "True"]
    assert [process.returncode for process in both] == [0, 0]

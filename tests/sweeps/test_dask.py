"""A sweep on a real Dask cluster: a scheduler and two worker processes, one of them killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from compacter_cli.commands.sweep import asked_for, sweep
from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.sweeps.directory import read_sweep
from compacter_cli.sweeps.executors import dask_executor
from compacter_cli.sweeps.expansion import expand
from compacter_cli.sweeps.running import Surroundings
from compacter_cli.training.run import train

pytestmark = pytest.mark.extras
# An orphan looks for its parent once a second: long after that it must still be training.
SMALL = ("train.epochs=20", "data.max_train_samples=120", "train.save_every=2",
         "train.score_before=false")  # fmt: skip


def wait_for(condition, seconds=90):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it never came"
        time.sleep(0.05)


class Cluster:
    """A scheduler and workers, a process each."""

    def __init__(self, place):
        self.place, self.file = place, place / "scheduler.json"
        self.processes = [
            self.start("dask_scheduler", "--port", "0", "--no-dashboard", "--scheduler-file")
        ]
        wait_for(self.file.exists)
        self.address = json.loads(self.file.read_text())["address"]

    def start(self, program, *options):
        command = [sys.executable, "-m", f"distributed.cli.{program}", *options, str(self.file)]
        log = open(self.place / f"{program}.log", "ab")  # noqa: SIM115 - it outlives this
        with log:
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.place)

    def add_worker(self):
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--scheduler-file")
        self.processes.append(self.start("dask_worker", *options))
        return self.processes[-1]

    def close(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    pytest.importorskip("distributed", reason='needs Dask: pip install "compacter[dask]"')
    cluster = Cluster(tmp_path)
    yield cluster
    cluster.close()


def workers_known(address):
    with dask_executor(address) as executor:
        return len(executor._client.scheduler_info(n_workers=-1)["workers"])


def parent_of(process):
    with open(f"/proc/{process}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


@pytest.mark.slow
@pytest.mark.timeout(900)  # six processes load the frameworks
def test_a_killed_workers_run_goes_on_elsewhere_to_the_same_bits(cluster, tmp_path):
    workers = [cluster.add_worker(), cluster.add_worker()]
    asked = asked_for(None, ["demo/smoke_compacterpp"], None, "1,2,3", SMALL)
    place = tmp_path / "sweep"
    wait_for(lambda: _two(cluster.address))
    done = threading.Thread(
        target=lambda: sweep(
            sweep=asked,
            expansion=expand(asked),
            directory=place,
            surroundings=Surroundings("cpu", 1, True),
            scheduler=cluster.address,
        )
    )
    done.start()
    wait_for(lambda: len(list(place.glob("runs/*/*/*/*/state/0*"))) >= 2)
    lock = next(place.glob("runs/*/*/*/*/.lock"))
    run, worker = lock.parent, parent_of(int(lock.read_text()))
    assert worker in [process.pid for process in workers]
    os.kill(worker, signal.SIGKILL)
    done.join(600)
    lines = read_sweep(place).lines
    assert [line["state"] for line in lines] == ["finished"] * 3
    assert json.loads((run / "environment.json").read_text())["resumed"]
    seed = next(line["seed"] for line in lines if place / line["run"] == run)
    recipe = load_recipe("demo/smoke_compacterpp", [*SMALL, f"seed={seed}"])
    train(recipe=recipe, directory=tmp_path / "alone", device="cpu")
    weights = "best/adapter.safetensors"
    assert (run / weights).read_bytes() == (tmp_path / "alone" / weights).read_bytes()


def _two(address):
    try:
        return workers_known(address) == 2
    except CompacterError:
        return False


def test_a_cluster_without_workers_is_told(cluster):
    with (
        pytest.raises(CompacterError, match="it has no worker yet"),
        dask_executor(cluster.address),
    ):
        pass


def test_no_scheduler_there_is_told(monkeypatch):
    monkeypatch.setattr("compacter_cli.sweeps.executors.CONNECT_SECONDS", 1)
    pytest.importorskip("distributed", reason='needs Dask: pip install "compacter[dask]"')
    with (
        pytest.raises(CompacterError, match="no Dask scheduler answers there"),
        dask_executor("tcp://127.0.0.1:9"),
    ):
        pass


def test_an_address_that_is_none_is_told():
    pytest.importorskip("distributed", reason='needs Dask: pip install "compacter[dask]"')
    with (
        pytest.raises(CompacterError, match="no Dask scheduler answers there"),
        dask_executor("nonsense://x"),
    ):
        pass


def test_dask_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(UsageError, match="--scheduler needs Dask") as caught,
        dask_executor("tcp://127.0.0.1:9"),
    ):
        pass
    assert "compacter[dask]" in caught.value.hint

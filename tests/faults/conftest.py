"""Commands in processes of their own, at the cost of a fork each: see `forking.py`."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@dataclass
class Forking:
    """The process that forks; commands may run side by side."""

    process: subprocess.Popen

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@dataclass
class Command:
    """A command that was started.

    Attributes:
        number: of the process.
        words: its command line, after the program.
        pipe: where its stderr is read, if not from a file.
        code: its exit code, negative the signal that ended it; since `wait`.
    """

    forking: Forking
    number: int
    out: Path
    words: tuple[str, ...] = ()
    pipe: int | None = None
    code: int | None = field(default=None)
    heard: bytes = b""

    def send(self, signum):
        os.kill(self.number, signum)

    def wait(self):
        if self.code is None:
            self.code = self.forking.ask(wait=self.number)
        return self

    def until(self, seen, seconds=120):
        """Wait until `seen()` is true, while it runs."""
        end = time.monotonic() + seconds
        while not seen():
            assert time.monotonic() < end, self.said
            time.sleep(0.002)

    def until_held(self, place):
        """Wait until it stays at `hold(place)`, and has noticed what was sent to it before.

        Of two signs that come, Python looks for signals before the second.
        """
        before = place.stat().st_size if place.exists() else 0
        self.until(lambda: place.exists() and place.stat().st_size >= before + 2)

    @property
    def said(self):
        with suppress(BlockingIOError):
            while self.pipe is not None and (more := os.read(self.pipe, 65536)):
                self.heard += more
        return self.heard.decode(errors="replace")

    @property
    def printed(self):
        return self.out.read_text(encoding="utf-8")

    def ended(self, code):
        """Its stderr, that it ended with `code` and without a traceback."""
        self.wait()
        assert self.code == code, self.said
        assert "Traceback" not in self.said
        assert "Exception ignored" not in self.said
        return self.said


@pytest.fixture(scope="session")
def forking():
    """The one process that forks; it ends with the tests."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        [sys.executable, str(HERE / "forking.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, env=environment,
    )  # fmt: skip
    yield Forking(process)
    process.stdin.close()
    process.wait()
    process.stdout.close()


def begin(forking, streams, words, before="", folder=None, err=None):
    """Start a command; its stderr is a pipe, which no full disk or limit of files concerns."""
    words, pipe = tuple(map(str, words)), None
    if err is None:
        err = streams / f"{time.monotonic_ns()}.err"
        os.mkfifo(err)
        pipe = os.open(err, os.O_RDWR | os.O_NONBLOCK)
    out = streams / f"{time.monotonic_ns()}.out"
    number = forking.ask(
        start=words, before=before, folder=str(folder or streams), out=str(out), err=str(err)
    )
    return Command(forking, number, out, words, pipe)


@pytest.fixture
def start(forking, tmp_path_factory):
    """Starts a command, `start("train", ..., before="die()", folder=...)`; none outlives a test."""
    begun = []
    streams = tmp_path_factory.mktemp("streams")

    def start(*words, **settings):
        begun.append(begin(forking, streams, words, **settings))
        return begun[-1]

    yield start
    for command in begun:
        if command.code is None:
            command.send(signal.SIGKILL)
            command.wait()
        if command.pipe is not None:
            os.close(command.pipe)


SMALL = (
    "train", "--recipe", "demo/smoke_compacterpp", "--device", "cpu", "--offline",
    "--set", "data.max_train_samples=24", "--set", "train.epochs=2", "--set", "train.batch_size=4",
    "--set", "train.accumulate=2", "--set", "train.warmup_steps=1", "--set", "train.dropout=0.1",
    "--set", "train.save_every=1",
)  # fmt: skip


@pytest.fixture
def train(start):
    """Starts a training of six updates in two epochs that saves each; `sets` change its recipe."""

    def train(output, *options, sets=(), **settings):
        overrides = [part for each in sets for part in ("--set", each)]
        return start(*SMALL, *overrides, "--output", output, *options, **settings)

    return train


@pytest.fixture
def go_on(start):
    """Carries out the command that a message ends with, as it stands there."""

    def go_on(said, **settings):
        words = said.replace("\n", " ").partition("compacter train ")[2].partition(";")[0]
        return start("train", *shlex.split(words.partition(" --resume")[0]), "--resume", **settings)

    return go_on


@pytest.fixture(scope="session")
def bits():
    """All that a finished run leaves, but times and places."""

    def bits(directory):
        named = sorted(p for p in directory.rglob("*") if p.is_file())
        found = {str(p.relative_to(directory)): p.read_bytes() for p in named}
        result = json.loads(found.pop("result.json"))
        found.pop("environment.json")
        found.pop("log.txt", None)
        found.pop(".lock", None)  # of a process that was killed
        for key in ("run", "training_seconds", "peak_memory_bytes"):
            result.pop(key)
        return {**found, "result": result}

    return bits


@pytest.fixture(scope="session")
def whole_command(forking, tmp_path_factory):
    """Starts a training as `train` does, for what several tests look at."""

    def whole_command(output, sets=(), before=""):
        overrides = [part for each in sets for part in ("--set", each)]
        words = (*SMALL, *overrides, "--output", output)
        return begin(forking, tmp_path_factory.mktemp("streams"), words, before)

    return whole_command


@pytest.fixture(scope="session")
def whole(whole_command, bits, tmp_path_factory):
    """Gives the bits of the same training when nothing interrupts it, by what `sets` change."""
    made = {}

    def whole(*sets):
        if sets not in made:
            directory = tmp_path_factory.mktemp("whole") / "run"
            whole_command(directory, sets).ended(0)
            made[sets] = bits(directory)
        return made[sets]

    return whole


@pytest.fixture(scope="session")
def killed(whole_command, tmp_path_factory):
    """A run that was killed after five of six updates: the states of two are there."""
    directory = tmp_path_factory.mktemp("killed") / "run"
    command = whole_command(directory, before="at_step(6, lambda *_: die())")
    assert command.wait().code == -signal.SIGKILL
    return directory


@pytest.fixture
def unfinished(killed, tmp_path):
    """A copy of `killed`, to be changed."""
    return Path(shutil.copytree(killed, tmp_path / "run"))

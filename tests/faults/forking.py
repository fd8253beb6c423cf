"""A process in which the frameworks are loaded, and which forks another for every command.

What it forks is what a shell would start: a process of its own, with its own streams, which signals
reach; only the seconds of loading are spent once. It is asked by lines of JSON:

    {"start": ["train", ...], "folder": ..., "out": ..., "err": ..., "before": ...} -> a process' id
    {"wait": id}                                                                    -> its exit code

`before` is Python that the new process runs first, with the names of `WORDS`: the fault.
"""

import errno
import gc
import json
import os
import shutil
import signal
import sys
import time
import traceback
from importlib import import_module

from compacter_cli import files
from compacter_cli.main import main
from compacter_cli.t5 import random_backbone
from compacter_cli.t5.runtime import hide_tensorflow, start_keras


def die():
    """End this process as nothing can be done about."""
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(module, name, number, what, after=False):
    """Do `what` at a call of a function, 1 the first: before it, or after.

    What it gives, if not `None`, is given in the place of what the function gives.
    """
    owner = import_module(module) if isinstance(module, str) else module
    real, calls = getattr(owner, name), []

    def watched(*args, **options):
        calls.append(name)
        if len(calls) != number:
            return real(*args, **options)
        if after:
            result = real(*args, **options)
            what(*args, **options)
            return result
        given = what(*args, **options)
        return real(*args, **options) if given is None else given

    setattr(owner, name, watched)


def at_step(number, what, after=False):
    """Do `what(trainer)` before an update of this process, 1 the first, or after it."""
    trainer = import_module("compacter_cli.training.trainer").Trainer
    at_call(trainer, "step", number, what, after)


def slow_down(seconds):
    """Let every update take longer, so that something may come in between."""
    trainer = import_module("compacter_cli.training.trainer").Trainer
    real = trainer.step

    def step(self, group=None):
        time.sleep(seconds)
        return real(self, group)

    trainer.step = step


def hold(place):
    """What stays until a file is gone, which it makes, and lets it grow all the while."""

    def holding(*_args, **_options):
        with open(place, "a", encoding="utf-8") as file:
            while os.path.exists(place):
                print(end=".", file=file, flush=True)
                time.sleep(0.01)

    return holding


def send(*numbers):
    """What sends this process signals."""

    def sending(*_args, **_options):
        for number in numbers:
            os.kill(os.getpid(), number)

    return sending


# What a save does to a disk, in the order of modules and names.
OPERATIONS = (
    (files, "write_durably"), (files, "sync"), (os, "rename"), (os, "replace"), (shutil, "rmtree"),
    (files, "append_json"),
)  # fmt: skip


def die_at_operation(number, note=None):
    """Die before an operation of the disk, 1 the first; `note` is a file that lists all of them."""
    done = []

    def watch(owner, name):
        real = getattr(owner, name)

        def watched(*args, **options):
            done.append(name)
            if note:
                with open(note, "a", encoding="utf-8") as file:
                    file.write(f"{name} {args[0]}\n")
            if len(done) == number:
                die()
            return real(*args, **options)

        setattr(owner, name, watched)

    for owner, name in OPERATIONS:
        watch(owner, name)
    lines = import_module("compacter_cli.training.metrics_file")
    lines.append_json, lines.sync = files.append_json, files.sync


def refuse(code):
    """What a disk that refuses raises."""

    def raising(*_args, **_options):
        raise OSError(code, os.strerror(code))

    return raising


def limit_files(size):
    """Let this process write no file longer than `size` bytes."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


WORDS = {
    word.__name__: word
    for word in (
        at_call, at_step, die, die_at_operation, errno, hold, import_module, limit_files, os,
        refuse, send, signal, slow_down, time,
    )
}  # fmt: skip
WORDS["files"] = files


def carry_out(job):
    """The command of a forked process, to its exit code."""
    os.chdir(job["folder"])
    for descriptor, path in ((1, job["out"]), (2, job["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666), descriptor)
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", closefd=False)
    os.close(0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["compacter", *job["start"]]
    try:
        exec(job["before"], dict(WORDS))
        main()
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 70
    return 0


def fork(job):
    """The id of a new process that carries out a command."""
    process = os.fork()
    if process:
        return process
    code = 71
    try:
        code = carry_out(job)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def serve():
    """Answer until standard input ends."""
    hide_tensorflow()
    start_keras()
    for name in ("commands.train", "commands.progress", "commands.score_tables", "t5.model",
                 "training.run", "training.session", "training.checkpoints", "training.loop",
                 "data.sources", "adapters.adapter_file", "recipe.recipe"):  # fmt: skip
        import_module(f"compacter_cli.{name}")
    backbone = random_backbone.tiny_backbone()  # of every process its own copy
    random_backbone.tiny_backbone = lambda: backbone
    gc.collect()
    gc.freeze()
    gc.collect = lambda *_: 0  # half a second each, of sizes for which it does nothing
    for line in sys.stdin:
        asked = json.loads(line)
        if "start" in asked:
            answer = fork(asked)
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(asked["wait"], 0)[1])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()

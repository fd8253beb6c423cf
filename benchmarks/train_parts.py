"""How long `compacter train` takes before its first update and behind its last, part by part.

    python benchmarks/train_parts.py
    python benchmarks/train_parts.py --recipe glue/rte_compacterpp --set backbone.preset=DIR \
        --set data.folder=DIR --set train.epochs=1

Whole processes, each training into a folder of its own; medians. Bytecode is written before, in a
run that does not count. A part is the time between two calls of the program that are looked at.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated
from unittest import mock

import typer
from ending import errors_told
from shared_options import JsonOption

from compacter_cli.commands.console import err, out, table_of
from compacter_cli.errors import CompacterError

SEEN = {  # name in `marks`: where the function is looked up
    "frameworks": "compacter_cli.commands.console.load_frameworks",
    "load": "compacter_cli.training.session.Session._load",
    "backbone": "compacter_cli.training.session.backbone_of",
    "dataset": "compacter_cli.data.dataset.build_dataset",
    "start": "compacter_cli.training.session.Session.start",
    "train": "compacter_cli.training.session.Session.train",
    "step": "compacter_cli.training.trainer.Trainer.step",
    "finish": "compacter_cli.training.session.Session.finish",
}
PARTS = {  # (mark, its begin 0 or end 1) from which a part goes, and those to which
    "python, the recipe, checks": (("spawned", 0), ("frameworks", 0)),
    "imports of torch and keras": (("frameworks", 0), ("frameworks", 1)),
    "imports of the session": (("frameworks", 1), ("load", 0)),
    "rows": (("load", 0), ("backbone", 0)),
    "backbone": (("backbone", 0), ("backbone", 1)),
    "tokens": (("dataset", 0), ("dataset", 1)),
    "model and optimizer": (("dataset", 1), ("load", 1)),
    "directory, a score before": (("start", 0), ("start", 1)),
    "first update": (("train", 0), ("first step", 1)),
    "updates and epochs between": (("first step", 1), ("last step", 1)),
    "last epoch's score and saves": (("last step", 1), ("train", 1)),
    "test and records": (("finish", 0), ("finish", 1)),
    "the result shown, the end": (("finish", 1), ("ended", 0)),
}
SUMS = {
    "to the first update": (("spawned", 0), ("first step", 0)),
    "from the last to the prompt": (("last step", 1), ("ended", 0)),
    "all": (("spawned", 0), ("ended", 0)),
}
MARKS = "COMPACTER_BENCHMARK_MARKS"  # environment: the file that a child writes


def main(
    recipe: str = "demo/smoke_compacterpp",
    set_: Annotated[list[str] | None, typer.Option("--set")] = None,
    runs: Annotated[int, typer.Option(min=1)] = 5,
    json_: JsonOption = None,
):
    """Print a line a part, in seconds."""
    words = ["train", "--recipe", recipe, "--device", "cpu"]
    words += [word for key in set_ or [] for word in ("--set", key)]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(runs + 1):
            err.print(f"run {number} of {runs} ...", style="dim")
            found.append(marks_of([*words, "--output", f"{folder}/{number}"]))
    seconds = {
        name: [between(marks, *ends) for marks in found[1:]]
        for name, ends in {**PARTS, **SUMS}.items()
    }
    table = table_of("part", "s", "min-max", numbers=("s", "min-max"))
    for name, each in seconds.items():
        table.add_row(name, f"{statistics.median(each):.2f}", f"{min(each):.2f}-{max(each):.2f}")
    out.print(table)
    if json_:
        json_.write_text(json.dumps(seconds, indent=2) + "\n", encoding="utf-8")


def marks_of(words):
    """`{mark: (begin, end)}` of one process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "marks.json"
        begin = time.time()
        done = subprocess.run(
            [sys.executable, __file__, *words],
            env={**os.environ, MARKS: str(file)}, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        ended = time.time()
        if done.returncode:
            raise CompacterError(f"train ended with {done.returncode}: {done.stderr.strip()}")
        calls = json.loads(file.read_text())
    marks = {name: times for name, *times in calls if name != "step"}
    steps = [times for name, *times in calls if name == "step"]
    marks |= {"first step": steps[0], "last step": steps[-1]}
    return marks | {"spawned": [begin], "ended": [ended]}


def between(marks, first, last):
    """Seconds from one end of a mark to one of another."""
    (begin, its), (end, ones) = first, last
    return marks[end][ones] - marks[begin][its]


def child(file):
    """Run the command line with the functions of `SEEN` watched, and write when they ran."""
    from compacter_cli.main import main as program

    calls = []
    with ExitStack() as stack:

        def watch(name, then=lambda: None):
            owner, _, attribute = SEEN[name].rpartition(".")
            owner = resolve_name(owner)
            function = getattr(owner, attribute)

            def watched(*given, **named):
                begin = time.time()
                try:
                    return function(*given, **named)
                finally:
                    calls.append((name, begin, time.time()))
                    then()

            stack.enter_context(mock.patch.object(owner, attribute, watched))

        # The others' modules need the frameworks, and must not be imported before their time.
        others = [name for name in SEEN if name != "frameworks"]
        watch("frameworks", then=lambda: [watch(name) for name in others])
        try:
            program()
        finally:
            Path(file).write_text(json.dumps(calls))


if __name__ == "__main__":
    with errors_told():
        child(os.environ[MARKS]) if MARKS in os.environ else typer.run(main)

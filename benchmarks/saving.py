"""What saving costs: a save beside the bare writes and syncs of its files, and its share of a run.

    python benchmarks/saving.py --recipe demo/entailment_compacterpp

A save is timed in alternation with as many files of the same sizes, written and synced with their
directory and its parent; a run, in alternation with the same run that saves nothing on the way.
"""

import os
import shutil
import statistics
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated
from unittest import mock

import typer

from compacter_cli.commands.console import err, load_frameworks, out, table_of


def main(
    recipe: str = "demo/entailment_compacterpp",
    set_: Annotated[list[str] | None, typer.Option("--set", help="As in train.")] = None,
    saves: Annotated[int, typer.Option(min=1, help="Saves timed.")] = 50,
    runs: Annotated[int, typer.Option(min=0, help="Alternations of whole runs.")] = 3,
    threads: int = 2,
    folder: Annotated[Path | None, typer.Option(help="On the disk that is meant.")] = None,
):
    """Print milliseconds of a save, and the share of a run that saving at every epoch takes."""
    load_frameworks()
    import torch

    from compacter_cli.recipe.recipe import load_recipe

    torch.set_num_threads(threads)
    chosen = load_recipe(recipe, set_ or [])
    with tempfile.TemporaryDirectory(dir=folder) as place:
        show_saves(*saves_of(chosen, Path(place), saves))
        if runs:
            show_runs(*runs_of(chosen, Path(place), runs))


def saves_of(recipe, place, count):
    """Milliseconds of `count` saves after an update each, and of their bare files."""
    from compacter_cli.training import checkpoints

    with session_of(recipe, place / "saves") as session:
        session.start(overwrite=False)
        session.tuning.trainer.step()
        session._began = time.perf_counter()
        state, record = session.tuning.trainer.state(), session._record()
        ours, bare, sizes = [], [], None
        for update in range(1, count + 1):
            moved = state._replace(update=update)
            ours.append(timed(checkpoints.save, place / "saves", moved, record, False, ""))
            saved = place / "saves" / "state" / f"{update:08d}"
            sizes = [path.stat().st_size for path in saved.iterdir()]
            bare.append(timed(write_bare, place / f"bare{update}", sizes))
    return ours, bare, sizes


def write_bare(folder, sizes):
    """Files of `sizes`, their directory and its parent, each synced once."""
    folder.mkdir()
    for number, size in enumerate(sizes):
        with open(folder / str(number), "wb") as file:
            file.write(b"\1" * size)
            file.flush()
            os.fsync(file.fileno())
    for directory in (folder, folder.parent):
        descriptor = os.open(directory, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def runs_of(recipe, place, count):
    """Seconds of `count` trainings that save, and of as many that do not."""
    found = {True: [], False: []}
    for number in range(count):
        for saving in (True, False):
            err.print(f"run {number + 1}, {'saving' if saving else 'not saving'} ...", style="dim")
            directory = place / f"run{number}{saving}"
            with session_of(recipe, directory) as session, ExitStack() as stack:
                session.start(overwrite=False)
                if not saving:
                    for name in ("_save", "_save_state"):
                        stack.enter_context(mock.patch.object(session, name))
                found[saving].append(timed(session.train) / 1000)
            shutil.rmtree(directory)
    return found[True], found[False]


@contextmanager
def session_of(recipe, directory):
    """A session of the recipe, loaded."""
    from compacter_cli.data.sources import find_rows
    from compacter_cli.tasks import task_of
    from compacter_cli.training.session import Session

    source = find_rows(task_of(recipe), recipe.data)
    with Session(recipe, directory, "cpu", source) as session:
        yield session


def timed(function, *given):
    """Milliseconds of a call."""
    before = time.perf_counter()
    function(*given)
    return 1000 * (time.perf_counter() - before)


def show_saves(ours, bare, sizes):
    table = table_of("a save", "ms", "bare ms", "ratio", "files", "bytes")
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    cells = (statistics.median(ours), statistics.median(bare))
    table.add_row(
        "median", *(f"{cell:.2f}" for cell in cells), f"{ratio:.2f}", str(len(sizes)),
        f"{sum(sizes):,}",
    )  # fmt: skip
    out.print(table)


def show_runs(saving, not_saving):
    ratio = statistics.median(a / b for a, b in zip(saving, not_saving, strict=True))
    out.print(
        f"training: {statistics.median(saving):.2f} s saving at every epoch, "
        f"{statistics.median(not_saving):.2f} s not; paired {100 * (ratio - 1):+.2f} %"
    )


if __name__ == "__main__":
    typer.run(main)

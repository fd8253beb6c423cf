"""The directory of a sweep: begun and gone on with, its index written whole and read."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, RecipeError, UsageError
from compacter_cli.files import (
    place_of,
    read_file,
    write_text,
)
from compacter_cli.recipe.tables import parse
from compacter_cli.sweeps.failures import RUNS
from compacter_cli.sweeps.index import brought_up_to_date, parsed_line, planned_line
from compacter_cli.sweeps.reading import sweep_of
from compacter_cli.training.claim import RECIPE, hold, is_vacant

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from compacter_cli.sweeps.expansion import PlannedRun
    from compacter_cli.sweeps.records import IndexLine
    from compacter_cli.sweeps.sections import Sweep
    from compacter_cli.training.lock import Lock

SWEEP, INDEX = "sweep.toml", "index.jsonl"
STOP = "stop"  # there while all workers are to save what they do, and leave
INDEX_BYTES = 1 << 28  # 100,000 runs
DAMAGED = "compacter sweep, with what it was begun with, writes it anew"


@dataclass(frozen=True)
class SweepState:
    """A sweep and how far it is.

    Attributes:
        sweep: what was asked for.
        lines: a line a planned run, brought up to date.
    """

    sweep: Sweep
    lines: list[IndexLine]


def default_directory(sweep: Sweep) -> Path:
    """Where a sweep goes: runs/sweeps/<name>."""
    return Path("runs") / "sweeps" / sweep.name


def is_sweep(directory: Path) -> bool:
    """Whether `directory` is that of a sweep."""
    return any((Path(directory) / name).is_file() for name in (SWEEP, INDEX))


def check_takes(directory: Path, sweep: Sweep) -> None:
    """Raise `UsageError` unless `sweep` may be begun in `directory`, or gone on with."""
    if is_vacant(directory):
        return
    if not is_sweep(directory) and not _is_begun(directory):
        raise UsageError(f"{directory} exists and is not a sweep", "choose another --output")
    with suppress(FileNotFoundError):
        found = _sweep_in(directory)
        if found.name != sweep.name:
            raise UsageError(
                f"{directory} holds the sweep {found.name}, not {sweep.name}",
                "choose another --output",
            )


def _is_begun(directory: Path) -> bool:
    """Whether a process was killed as it began a sweep there."""
    return directory.is_dir() and {place_of(entry) for entry in directory.iterdir()} <= {
        SWEEP,
        ".lock",
    }


def begin(directory: Path, sweep: Sweep, runs: Iterable[PlannedRun]) -> Lock:
    """Take the directory of a sweep and write what it is into it; gives its lock, held.

    Raises:
        UsageError: it holds something else, another process writes it, or it cannot be written.
    """
    check_takes(directory, sweep)
    lock = hold(directory)
    try:
        (directory / STOP).unlink(missing_ok=True)
        write_text(directory / SWEEP, sweep.toml())
        write_index(directory, lines_of(directory, sweep, runs))
    except BaseException:
        lock.release()
        raise
    return lock


def lines_of(directory: Path, sweep: Sweep, runs: Iterable[PlannedRun]) -> list[IndexLine]:
    """The index of a sweep as it is now, a line a planned run."""
    return [brought_up_to_date(directory, planned_line(sweep, run)) for run in runs]


def write_index(directory: Path, lines: Iterable[IndexLine]) -> None:
    """Write the index whole."""
    write_text(directory / INDEX, "".join(f"{json.dumps(line)}\n" for line in lines))


def read_sweep(directory: Path) -> SweepState:
    """A sweep by what its directory holds: its runs are looked at, its recipes are not needed.

    Raises:
        UsageError: it is the directory of no sweep.
        CompacterError: what says which sweep it is, or its index, is damaged or missing.
    """
    directory = Path(directory)
    if not is_sweep(directory):
        raise UsageError(f"{directory} is no sweep's directory", "give the one that sweep printed")
    try:
        sweep = _sweep_in(directory)
        text = read_file(directory / INDEX, INDEX_BYTES).decode()
        if not text:
            raise ValueError("it is empty")
        lines = [
            parsed_line(number, line) for number, line in enumerate(text.splitlines(), start=1)
        ]
    except FileNotFoundError as error:
        name = Path(error.filename).name
        raise CompacterError(f"{directory} has lost its {name}", DAMAGED) from error
    except (OSError, ValueError) as error:
        raise CompacterError(f"{directory / INDEX} is damaged: {error}", DAMAGED) from error
    return SweepState(sweep, [brought_up_to_date(directory, line) for line in lines])


def _sweep_in(directory: Path) -> Sweep:
    path = directory / SWEEP
    try:
        return sweep_of(parse(read_file(path, INDEX_BYTES).decode()), str(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecipeError) as error:
        raise CompacterError(
            f"{path} is damaged: {error}", "remove it and run the sweep again: its runs stay"
        ) from error


def count_apart(directory: Path, planned: Container[str]) -> int:
    """How many runs the directory holds that are not planned, of the sweep as it was before."""
    recipes = (directory / RUNS).rglob(RECIPE)
    runs = (path.parent.relative_to(directory).as_posix() for path in recipes)
    return sum(run not in planned for run in runs)

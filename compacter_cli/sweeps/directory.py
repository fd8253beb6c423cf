"""The directory of a sweep: what it holds, how far each run is, and the index that says so."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from compacter_cli.errors import CompacterError, RecipeError, UsageError
from compacter_cli.files import (
    check_contained,
    parse_json,
    place_of,
    read_file,
    read_json,
    remove_any,
    write_json,
    write_text,
)
from compacter_cli.recipe.tables import parse
from compacter_cli.sweeps.cost import COST, read_cost
from compacter_cli.sweeps.reading import sweep_of
from compacter_cli.t5.shapes import shape_of
from compacter_cli.tasks import task_of
from compacter_cli.training.claim import RECIPE, hold, is_vacant
from compacter_cli.training.run_directory import read_result

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.sweeps.expansion import PlannedRun
    from compacter_cli.sweeps.records import IndexLine, Outcome, State
    from compacter_cli.sweeps.sections import Sweep
    from compacter_cli.training.lock import Lock
    from compacter_cli.training.records import Result

SWEEP, INDEX = "sweep.toml", "index.jsonl"
RUNS, LOGS, FAILED = "runs", "logs", "failed"
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
        lines = [_line(number, line) for number, line in enumerate(text.splitlines(), start=1)]
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


_NEEDED = {
    "task": str, "arm": str, "method": str, "setting": dict, "seed": int, "run": str, "state": str,
}  # fmt: skip


def _line(number: int, text: str) -> IndexLine:
    """A line of the index, whose run lies in the sweep's directory."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError(f"line {number} is no object")
    for key, kind in _NEEDED.items():
        if not isinstance(value.get(key), kind):
            raise ValueError(f"line {number} has no {key}, or another kind of one")
    first, *rest = PurePosixPath(value["run"]).parts or ("",)
    if first != RUNS or not rest or ".." in rest:
        raise ValueError(f"line {number} names a run outside of {RUNS}/")
    return cast("IndexLine", {"axis": None, **value})


def planned_line(sweep: Sweep, run: PlannedRun) -> IndexLine:
    """The line of a run before anything is known of it."""
    recipe, shape = run.recipe, shape_of(run.recipe.backbone.preset)
    trained = sum(recipe.method.count(shape).values())
    return {
        "sweep": sweep.name,
        "task": recipe.task,
        "arm": run.arm.name,
        "method": recipe.method.name,
        "method_settings": recipe.method.settings(),
        "setting": run.setting,
        "axis": run.axis,
        "seed": recipe.seed,
        "run": f"{RUNS}/{run.place}",
        "recipe_hash": run.place.rpartition("-")[2],
        "state": "waiting",
        "preset": recipe.backbone.preset,
        "learning_rate": recipe.train.peak_rate,
        "trained_parameters": trained,
        "trained_percent": 100 * trained / shape.parameters(),
        "backbone_parameters": shape.parameters(),
        "train_rows": rows_of(recipe),
    }


def rows_of(recipe: Recipe) -> int | None:
    """How many rows a recipe trains on; `None` where the data alone can tell."""
    from compacter_cli.tasks.own import OwnTask

    task = task_of(recipe)
    if isinstance(task, OwnTask):
        return None
    rows = task.split.sizes(task.rows)["train"]
    return min(rows, recipe.data.max_train_samples or rows)


def brought_up_to_date(directory: Path, line: IndexLine) -> IndexLine:
    """A line of the index, by what the run's directory holds now."""
    known = {key: value for key, value in line.items() if key not in _OF_THE_FINISHED}
    state, more = _found(directory, line)
    return cast("IndexLine", {**known, **more, "state": state})


_OF_THE_FINISHED = {
    "error", "epochs", "best_epoch", "training_seconds", "peak_memory_bytes", "adapter_bytes",
    "validation_mean", "test_mean", "validation", "test", "majority", "invalid",
    "step_ms", "minutes_per_epoch", "batch",
}  # fmt: skip


def _found(directory: Path, line: IndexLine) -> tuple[State, Mapping[str, Any]]:
    """How far a run is, and what that adds to its line."""
    run = line["run"]
    place = directory / run
    try:
        check_contained(place, directory)
    except ValueError as error:
        return "failed", {"error": f"{run}: {error}"}
    try:
        if result := read_result(place):
            _check_is(result, line)
            return "finished", _of_result(result)
        if (place / COST).exists():
            return "finished", read_cost(place)
    except (CompacterError, KeyError, TypeError) as error:
        return "failed", {"error": str(error)}
    if failure := read_failure(directory, run):
        return "failed", {"error": failure.get("error", "no reason is known")}
    return ("waiting" if is_vacant(place) else "unfinished"), {}


def _check_is(result: Result, line: IndexLine) -> None:
    """Make sure that a result is of the run of its line: a directory may have been exchanged."""
    for key in ("task", "method", "seed", "trained_parameters"):
        if key in line and result[key] != line[key]:
            raise CompacterError(f"it is another run: its {key} is {result[key]}, not {line[key]}")


def _of_result(result: Result) -> dict[str, Any]:
    validation, test = result["validation"], result["test"]
    rows = {"train_rows": result["train_examples"]} if "train_examples" in result else {}
    return {
        **rows,
        "epochs": result["epochs"],
        "best_epoch": result["best_epoch"],
        "training_seconds": result["training_seconds"],
        "peak_memory_bytes": result["peak_memory_bytes"],
        "adapter_bytes": result["adapter_bytes"],
        "validation_mean": validation["mean"],
        "test_mean": test["mean"],
        "validation": validation["metrics"],
        "test": test["metrics"],
        "majority": test["majority"],
        "invalid": test["invalid"],
    }


def log_of(directory: Path, run: str) -> Path:
    """Where a run's workers write what they say."""
    return directory / LOGS / f"{run.removeprefix(f'{RUNS}/')}.log"


def _failure_file(directory: Path, run: str) -> Path:
    return directory / FAILED / f"{run.removeprefix(f'{RUNS}/')}.json"


def write_failure(directory: Path, run: str, outcome: Outcome) -> None:
    """Note that a run failed, and why."""
    path = _failure_file(directory, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, outcome)


def read_failure(directory: Path, run: str) -> dict[str, Any] | None:
    """Why a run failed, `None` where it did not."""
    try:
        found = read_json(_failure_file(directory, run))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return {"error": f"it failed, and the note of why is damaged: {error}"}
    return found if isinstance(found, dict) else {"error": "it failed, and nobody noted why"}


def forget_failure(directory: Path, run: str) -> None:
    """Let a run that failed be one that is to be run."""
    path = _failure_file(directory, run)
    if path.exists():
        remove_any(path)


def count_apart(directory: Path, planned: Container[str]) -> int:
    """How many runs the directory holds that are not planned, of the sweep as it was before."""
    recipes = (directory / RUNS).rglob(RECIPE)
    runs = (path.parent.relative_to(directory).as_posix() for path in recipes)
    return sum(run not in planned for run in runs)


def count_states(lines: Iterable[IndexLine]) -> Counter[State]:
    """How many runs are in each state."""
    return Counter(line["state"] for line in lines)

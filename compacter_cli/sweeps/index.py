"""Lines of a sweep's index: what is planned, and how far a run is by what its directory holds."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from compacter_cli.errors import CompacterError
from compacter_cli.files import check_contained, parse_json
from compacter_cli.sweeps.cost import COST, read_cost
from compacter_cli.sweeps.failures import RUNS, read_failure
from compacter_cli.t5.shapes import shape_of
from compacter_cli.tasks import task_of
from compacter_cli.training.claim import is_vacant
from compacter_cli.training.run_directory import read_result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.sweeps.expansion import PlannedRun
    from compacter_cli.sweeps.records import IndexLine, State
    from compacter_cli.sweeps.sections import Sweep
    from compacter_cli.training.records import Result

_NEEDED = {
    "task": str, "arm": str, "method": str, "setting": dict, "seed": int, "run": str, "state": str,
}  # fmt: skip


def parsed_line(number: int, text: str) -> IndexLine:
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


def count_states(lines: Iterable[IndexLine]) -> Counter[State]:
    """How many runs are in each state."""
    return Counter(line["state"] for line in lines)

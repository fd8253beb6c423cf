"""A run directory as a report sees it: whatever of it is there and whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compacter_cli.adapters.manifest import holds_adapter
from compacter_cli.errors import CompacterError, UsageError, counted
from compacter_cli.files import parse_json
from compacter_cli.recipe.tables import read_tables
from compacter_cli.reports.checked import checked_metrics_line, checked_result
from compacter_cli.training.claim import METRICS, RECIPE, pretraining_in, resume_command
from compacter_cli.training.run_directory import RESULT, STATES, is_run, read_result

if TYPE_CHECKING:
    from compacter_cli.training.records import Result

Line = dict[str, Any]


@dataclass(frozen=True)
class RunView:
    """A run, with nothing where a part of it is missing or damaged.

    Attributes:
        directory: where it is.
        recipe: its recipe as plain tables; empty where it cannot be read.
        result: what it came to, `None` while it is unfinished.
        updates: lines of metrics.jsonl, one an update.
        epochs: lines of metrics.jsonl, one a finished epoch.
        problems: what is missing or damaged, a sentence each.
    """

    directory: Path
    recipe: dict[str, Any]
    result: Result | None
    updates: tuple[Line, ...]
    epochs: tuple[Line, ...]
    problems: tuple[str, ...]

    @property
    def task(self) -> str | None:
        return self.result["task"] if self.result else self.recipe.get("task")

    @property
    def state(self) -> str:
        """What became of it: finished, damaged (its result cannot be read) or unfinished."""
        if self.result:
            return "finished"
        return "damaged" if (self.directory / RESULT).exists() else "unfinished"

    @property
    def method(self) -> str | None:
        if self.result:
            return self.result["method"]
        method = self.recipe.get("method")
        return method.get("name") if isinstance(method, dict) else None


def view_run(directory: Path) -> RunView:
    """The run in a directory.

    Raises:
        UsageError: there is none.
    """
    check_run(directory)
    recipe, recipe_problem = _recipe(directory)
    result, result_problem = _result(directory)
    lines, damaged = _metrics(directory)
    updates = tuple(line for line in lines if line["kind"] == "update")
    epochs = tuple(line for line in lines if line["kind"] == "epoch")
    if result is None and not result_problem:
        result_problem = _unfinished(directory, len(epochs), recipe)
    curves_problem = (
        f"{directory / METRICS}: {counted(damaged, 'damaged line')} left out" if damaged else ""
    )
    problems = tuple(filter(None, (recipe_problem, result_problem, curves_problem)))
    return RunView(directory, recipe, result, updates, epochs, problems)


def check_run(directory: Path) -> None:
    """Raise `UsageError` unless a directory holds a run, or what is left of one."""
    hint = "give the directory of a sweep or of runs, as sweep and train printed them"
    if not directory.is_dir():
        raise UsageError(f"there is no directory {directory}", hint)
    if pretraining_in(directory) is not None:
        raise UsageError(f"{directory} is a pretraining; report shows sweeps and runs", hint)
    left = (RESULT, METRICS, STATES)
    if not is_run(directory) and not any((directory / name).exists() for name in left):
        if holds_adapter(directory):
            what = (
                f"{directory} is an adapter without its run, whose scores and course are reported"
            )
            raise UsageError(
                what, "score it by compacter evaluate --run, or give its run's directory"
            )
        raise UsageError(f"{directory} is neither a sweep nor a run", hint)


def _recipe(directory: Path) -> tuple[dict[str, Any], str]:
    """The recipe's tables, and what is wrong with them."""
    if not (directory / RECIPE).is_file():
        return {}, f"{directory / RECIPE} is not there"
    try:
        _, tables = read_tables(str(directory / RECIPE))
        return tables, ""
    except CompacterError as error:
        return {}, str(error)


def _result(directory: Path) -> tuple[Result | None, str]:
    """The result, and what is wrong with it; neither where there is none yet."""
    try:
        result = read_result(directory)
        return None if result is None else checked_result(result), ""
    except CompacterError as error:
        return None, str(error)
    except ValueError as error:
        return None, f"{directory / RESULT} is damaged: {error}"


def _unfinished(directory: Path, epochs: int, recipe: dict[str, Any]) -> str:
    """How far an unfinished run is, and how it goes on; without a recipe it does not."""
    if not recipe:
        return f"{directory} has no result: no scores are known but those of evaluate"
    train = recipe.get("train")
    planned = train.get("epochs") if isinstance(train, dict) else None
    planned = planned if isinstance(planned, int) else None
    done = f"{epochs} of {counted(planned, 'epoch')}" if planned else counted(epochs, "epoch")
    command = resume_command("compacter train", directory)
    return f"{directory} is unfinished: {done} so far; go on with {command}"


def _metrics(directory: Path) -> tuple[list[Line], int]:
    """The whole lines of metrics.jsonl, and how many are damaged."""
    path = directory / METRICS
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return [], 0
    found = list(_lines(text))
    return [line for line in found if line is not None], sum(line is None for line in found)


def _lines(text: str) -> Iterator[Line | None]:
    for line in text.splitlines():
        try:
            yield checked_metrics_line(parse_json(line))
        except ValueError:
            yield None

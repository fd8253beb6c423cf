"""From a sweep to its runs: every task, arm, setting, axis value and seed, each with its recipe."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from compacter_cli.errors import RecipeError, UsageError, nearest_or_all
from compacter_cli.methods import METHODS
from compacter_cli.recipe.recipe import recipe_of
from compacter_cli.recipe.tables import is_pretraining, put, read_tables
from compacter_cli.training.run_directory import run_directory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.sweeps.sections import Arm, Grid, Sweep, Value

METHOD = "method."
MOST_RUNS = 20_000  # of a sweep: every one is checked before the first begins
Tables = dict[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        arm: which side of the comparison it is of.
        setting: values of the searched keys, by dotted key.
        axis: value of the sweep's axis, `None` where it has none.
        recipe: resolved recipe, its seed and task included.
        place: its directory, seen from that of all runs: the same recipe has the same.
    """

    arm: Arm
    setting: dict[str, Value]
    axis: Value
    recipe: Recipe
    place: str


class LeftOut(NamedTuple):
    """A setting that a backbone cannot have, such as an n that does not divide its width."""

    arm: str
    setting: dict[str, Value]
    reason: str


@dataclass
class Expansion:
    """All runs of a sweep, and the settings that cannot be."""

    runs: list[PlannedRun] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def reported(sweep: Sweep) -> Sweep:
    """The sweep without its searches: every arm as its recipes have it."""
    arms = [arm.model_copy(update={"search": {}}) for arm in sweep.arms]
    return sweep.model_copy(update={"search": {}, "arms": arms})


def expand(sweep: Sweep) -> Expansion:
    """All runs of a sweep, by task, arm, axis value, setting and seed.

    Keys of `[method]` that the sweep gives to all arms go to those whose method has them.

    Raises:
        UsageError: a recipe is not there, a key is none of any arm's, or no setting of an arm can
            be had.
        RecipeError: a recipe has problems.
    """
    _check_size(sweep)
    found = Expansion()
    used: set[str] = set()
    for task, arm in itertools.product(sweep.tasks, sweep.arms):
        before = len(found.runs)
        used |= _expand_arm(sweep, task, arm, found)
        if len(found.runs) == before:
            first = next(item for item in found.left_out if item.arm == arm.name)
            raise UsageError(
                f"sweep {sweep.name}, {arm.name} on {task}: no setting fits the backbone; "
                f"{setting_words(first.setting)}: {first.reason}"
            )
    _check_used(sweep, used)
    return found


def setting_words(setting: Mapping[str, Any]) -> str:
    """`bottleneck=96 n=4`, by the last parts of the keys."""
    return " ".join(f"{key.rpartition('.')[2]}={value_text(v)}" for key, v in setting.items())


def value_text(value: object) -> str:
    """A value of a recipe as people read it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _check_size(sweep: Sweep) -> None:
    """Refuse a sweep that nobody could want, before it is expanded."""
    values = len(sweep.axis.values) if sweep.axis else 1
    settings = sum(
        math.prod(map(len, {**sweep.search, **arm.search}.values())) for arm in sweep.arms
    )
    runs = len(sweep.tasks) * len(sweep.seeds) * values * settings
    if runs > MOST_RUNS:
        raise UsageError(
            f"sweep {sweep.name}: {runs:,} runs; at most {MOST_RUNS:,} can be had",
            "search fewer values at a time",
        )


def _expand_arm(sweep: Sweep, task: str, arm: Arm, found: Expansion) -> set[str]:
    """Add an arm's runs on a task; the keys of the sweep's that its method has."""
    tables = _tables_of(sweep, task, arm)
    fits = _Fitting(tables)
    searched = {key: v for key, v in fits.those_of(sweep.search).items() if key not in arm.set}
    grid = {**searched, **arm.search}
    for axis, along in _axis_values(sweep):
        for setting in _settings(grid):
            values = {**fits.those_of(sweep.set), **arm.set, **fits.those_of(along), **setting}
            source = f"sweep {sweep.name}, {arm.name} on {task}"
            try:
                recipes = [_recipe(tables, values, seed, source) for seed in sweep.seeds]
            except RecipeError as error:
                reason = _unfit(error)
                if reason is None or not (setting or along):
                    raise
                out = LeftOut(arm.name, {**setting, **along}, reason)
                found.left_out += [out] if out not in found.left_out else []
                continue
            found.runs += [
                PlannedRun(arm, setting, axis, recipe, place_of_run(recipe)) for recipe in recipes
            ]
    return fits.used


class _Fitting:
    """Which of the keys that are meant for all arms one of them takes."""

    def __init__(self, tables: Tables) -> None:
        name = tables.get("method", {}).get("name", "")
        self.known = {f"{METHOD}{key}" for key in METHODS[name].model_fields}
        self.used: set[str] = set()

    def those_of(self, values: Mapping[str, Any]) -> dict[str, Any]:
        taken = {k: v for k, v in values.items() if not k.startswith(METHOD) or k in self.known}
        self.used |= taken.keys()
        return taken


def _check_used(sweep: Sweep, used: set[str]) -> None:
    axis = sweep.axis.settings(0) if sweep.axis else {}
    for key in (*sweep.set, *sweep.search, *axis):
        if key not in used:
            known = {f"{METHOD}{k}" for method in METHODS.values() for k in method.model_fields}
            raise UsageError(
                f"sweep {sweep.name}: none of its methods has {key}",
                nearest_or_all(key, sorted(known - {f"{METHOD}name"})),
            )


def _axis_values(sweep: Sweep) -> Iterator[tuple[Value, dict[str, Value]]]:
    """(value, the keys it sets) of every value of the axis; (`None`, {}) where there is none."""
    if sweep.axis is None:
        yield None, {}
        return
    for index, value in enumerate(sweep.axis.values):
        yield value, sweep.axis.settings(index)


def _settings(grid: Grid) -> Iterable[dict[str, Value]]:
    """All combinations of a grid's values, the last key's changing fastest."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def _tables_of(sweep: Sweep, task: str, arm: Arm) -> Tables:
    """The plain recipe of an arm on a task, unchecked but for its method."""
    pattern = arm.recipe or sweep.recipe
    name = pattern.replace("{task}", task).replace("{arm}", arm.name)
    source, tables = read_tables(name)
    method = tables.get("method")
    if is_pretraining(tables) or not isinstance(method, dict) or method.get("name") not in METHODS:
        recipe_of(tables, source)  # which says what is wrong with it
        raise UsageError(f"{source} is no recipe of a fine-tuning", "compacter recipes list")
    if tables.get("task") != task:
        raise UsageError(
            f"sweep {sweep.name}, {arm.name}: the recipe {source} is of {tables.get('task')}, "
            f"not of {task}",
            "write {task} into the sweep's recipe pattern",
        )
    return tables


def _recipe(tables: Tables, values: Mapping[str, Value], seed: int, source: str) -> Recipe:
    changed = copy.deepcopy(tables)
    for key, value in {**values, "seed": seed}.items():
        put(changed, key, value)
    return recipe_of(changed, source)


def _unfit(error: RecipeError) -> str | None:
    """Why settings do not fit a backbone, or `None` where something else is wrong, too."""
    if all(problem.short for problem in error.problems):
        return "; ".join(problem.message for problem in error.problems)
    return None


def place_of_run(recipe: Recipe) -> str:
    """Where a recipe's run goes, seen from the directory of all runs."""
    return run_directory(recipe).relative_to(recipe.output.root).as_posix()

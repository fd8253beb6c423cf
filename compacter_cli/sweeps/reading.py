"""A sweep from a sweep file, or from recipes and a grid on the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from compacter_cli.errors import (
    Problem,
    RecipeError,
    UsageError,
    excerpt,
    nearest_or_all,
    user_path,
)
from compacter_cli.files import read_file
from compacter_cli.recipe.problems import problems_of
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.shipped import LARGEST, shipped_sweeps
from compacter_cli.recipe.tables import override, parse
from compacter_cli.section import flat
from compacter_cli.sweeps.sections import Arm, Sweep

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_NAME = 60  # characters, of what is made of the names of recipes


def load_sweep(name: str) -> Sweep:
    """The checked `Sweep` of a path or shipped name.

    Raises:
        UsageError: there is none, or it is not TOML.
        RecipeError: it has problems; it lists all of them.
    """
    path = _find(name)
    tables = _tables_of(path)
    return sweep_of({"name": path.stem, **tables}, str(path))


def sweep_of(tables: Mapping[str, Any], source: str) -> Sweep:
    """The checked `Sweep` of plain tables; `source` names them in errors.

    Raises:
        RecipeError: it has problems.
    """
    try:
        return Sweep.model_validate(tables)
    except ValidationError as error:
        found = problems_of(error, Sweep, tables)
        raise RecipeError(source, [_of_a_sweep(problem) for problem in found]) from None


def _of_a_sweep(problem: Problem) -> Problem:
    """A problem whose hint is not a recipe's."""
    if problem.message == "missing":
        return replace(problem, hint="add it to the sweep file")
    return problem


def sweep_of_recipes(recipes: Iterable[str]) -> Sweep:
    """A sweep over recipes: an arm each, on the task that all of them are of.

    Raises:
        UsageError: one cannot be read, or they are of several tasks.
    """
    found = {name: load_recipe(name) for name in recipes}
    tasks = {recipe.task for recipe in found.values()}
    if len(tasks) > 1:
        raise UsageError(
            f"--recipe: the recipes are of {' and '.join(sorted(tasks))}; expected one task",
            "write a sweep file: recipes/sweeps has examples",
        )
    short = [_short(name) for name in found]
    if len(set(short)) < len(short):  # of several folders
        short = [name.removesuffix(".toml").replace("/", "-").strip("-.") for name in found]
    if len(set(short)) < len(short):
        raise UsageError("--recipe: the same recipe is given twice", "give each once")
    arms = [Arm(name=name, recipe=recipe) for name, recipe in zip(short, found, strict=True)]
    title = f"{' and '.join(arm.name for arm in arms)} on {next(iter(tasks))}"
    name = re.sub(r"[^\w.+-]+", "-", "-".join(short)).lstrip(".+-")[:LONGEST_NAME] or "recipes"
    return Sweep(name=name, title=title, tasks=list(tasks), arms=arms)


def grid_of(texts: Iterable[str]) -> dict[str, list[Any]]:
    """The values to try by dotted key, of `section.key=value,value` texts.

    Raises:
        UsageError: one is none, names no values, or names a key again.
    """
    grid: dict[str, list[Any]] = {}
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not (key and equals and values.strip(", ")):
            raise UsageError(
                f"--grid {excerpt(text)}: expected section.key=value,value",
                "such as --grid method.bottleneck=96,48,24",
            )
        if key in grid:
            raise UsageError(f"--grid {key} is given twice", "give all its values in one")
        grid[key] = _values(values)
    return grid


def seeds_of(text: str) -> list[int]:
    """The seeds of a text such as `1,2,3`.

    Raises:
        UsageError: it is none.
    """
    try:
        return [int(part, 10) for part in text.split(",")]
    except ValueError:
        raise UsageError(
            f"--seeds {excerpt(text)}: expected whole numbers", "such as --seeds 1,2,3"
        ) from None


def _values(text: str) -> list[Any]:
    """The values between commas: TOML where they are, else plain texts."""
    try:
        return parse(f"value = [{text}]")["value"]
    except ValueError as error:  # a TOMLDecodeError is one
        if any(sign in text for sign in "\"'[{"):
            raise UsageError(
                f"--grid: {excerpt(text)} is no TOML between its commas: {error}",
                "quote every text",
            ) from None
        return [part.strip() for part in text.split(",") if part.strip()]


def _short(name: str) -> str:
    return user_path(name).name.removesuffix(".toml")


def _find(name: str) -> Path:
    path, shipped = user_path(name), shipped_sweeps()
    if path.is_file():
        return path
    if (plain := name.removesuffix(".toml")) in shipped:
        return shipped[plain]
    raise UsageError(
        f'no sweep "{excerpt(name)}": neither a file nor a shipped sweep',
        nearest_or_all(plain, shipped, "shipped"),
    )


def _tables_of(path: Path) -> dict[str, Any]:
    try:
        return parse(read_file(path, LARGEST, path.parent).decode("utf-8-sig"))
    except (OSError, ValueError) as error:  # a TOMLDecodeError is a ValueError
        raise UsageError(f"{path}: no sweep file: {error}", "mend what it names") from error


def with_parts(sweep: Sweep, tasks: Iterable[str] | None, arms: Iterable[str] | None) -> Sweep:
    """The part of a sweep that is of some tasks and arms; of all where none are given.

    Raises:
        UsageError: it has no such task or arm.
    """
    by_name = {arm.name: arm for arm in sweep.arms}
    chosen = [by_name[name] for name in _known("--arm", arms, by_name)]
    return sweep.model_copy(update={"tasks": _known("--task", tasks, sweep.tasks), "arms": chosen})


def _known(option: str, names: Iterable[str] | None, known: Iterable[str]) -> list[str]:
    known = list(known)
    for name in names or ():
        if name not in known:
            raise UsageError(
                f"{option} {excerpt(name)}: the sweep has none of that name",
                nearest_or_all(name, known, "it has"),
            )
    return [name for name in known if not names or name in names]


def with_values(
    sweep: Sweep,
    grid: Mapping[str, list[Any]],
    seeds: list[int] | None,
    overrides: Iterable[str],
) -> Sweep:
    """A sweep with more to search, other seeds, and values set for all its runs.

    What is searched is not set, and what is set for all wins over what arms set.

    Raises:
        UsageError: an override is none.
        RecipeError: what comes of it is no sweep.
    """
    values = dict(flat(override({}, overrides)))
    if both := values.keys() & grid.keys():
        raise UsageError(f"--grid and --set: {min(both)} is given to both", "give it to one")
    search = {key: value for key, value in {**sweep.search, **grid}.items() if key not in values}
    tables = {
        **sweep.plain(),
        "search": search,
        "set": {**sweep.set, **values},
        "arms": [_freed(arm, {**grid, **values}) for arm in sweep.arms],
        **({"seeds": seeds} if seeds is not None else {}),
    }
    return sweep_of(tables, f"sweep {sweep.name}")


def _freed(arm: Arm, given: Mapping[str, Any]) -> dict[str, Any]:
    """An arm without what the command line says of all arms."""
    kept = {
        part: {key: value for key, value in getattr(arm, part).items() if key not in given}
        for part in ("set", "search")
    }
    return {**arm.plain(), **kept}

"""From options to the recipes that are measured: one a method, all else alike."""

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from compacter_cli.errors import RecipeError, UsageError, nearest_or_all
from compacter_cli.methods import METHODS
from compacter_cli.recipe.problems import problems_of
from compacter_cli.recipe.recipe import Recipe
from compacter_cli.recipe.tables import override

# A recipe has a task: this one needs no data, and without --task none is read.
NO_TASK = "demo/smoke"


def recipes_of(
    names: Collection[str], tables: Mapping[str, Any], overrides: Iterable[str] = ()
) -> dict[str, Recipe]:
    """The recipe of every method in `names`, by name.

    Args:
        names: names of methods.
        tables: the rest of the recipe as plain data.
        overrides: `section.key=value` strings; a method takes of `method.key` what it has.

    Raises:
        UsageError: an unknown method, or a key of [method] that none of them has.
        RecipeError: the recipe has problems.
    """
    given = override({**copy.deepcopy(dict(tables)), "method": {}}, overrides)
    settings = given["method"]
    _check_settings(settings, names)
    return {name: _recipe(name, settings, given) for name in names}


def _check_settings(settings: Any, names: Iterable[str]) -> None:
    """Refuse a [method] that is no table, or that holds what none of the methods has."""
    if not isinstance(settings, dict) or "name" in settings:
        raise UsageError("--set method: methods are chosen with --method", "--method compacterpp")
    known = {field for name in names for field in METHODS[name].model_fields} - {"name"}
    for key in settings:
        if key not in known:
            hint = nearest_or_all(key, sorted(known), "they have")
            raise UsageError(f"--set method.{key}: none of the methods measured has it", hint)


def _recipe(name: str, settings: dict[str, Any], tables: dict[str, Any]) -> Recipe:
    """The recipe of a method, which takes of the settings what it has."""
    own = {key: value for key, value in settings.items() if key in METHODS[name].model_fields}
    tables = {**tables, "method": {"name": name, **own}}
    try:
        return Recipe.model_validate(tables).resolved()
    except ValidationError as error:
        raise RecipeError("profile", problems_of(error, Recipe, tables)) from None

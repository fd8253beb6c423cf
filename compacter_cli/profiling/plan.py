"""From options to the recipes that are measured: one a method, all else alike."""

import copy

from pydantic import ValidationError

from compacter_cli.errors import RecipeError, UsageError, did_you_mean
from compacter_cli.methods import METHODS
from compacter_cli.recipe.problems import problems_of
from compacter_cli.recipe.recipe import OwnRecipe, Recipe, recipe_class
from compacter_cli.recipe.tables import override

NO_TASK = (
    "demo/smoke"  # a recipe has a task; this one needs no data, and without --task none is read
)


def recipes_of(names, tables, overrides=()):
    """The `Recipe` of every method in `names`, by name.

    Args:
        names: names of methods.
        tables: the rest of the recipe as plain data.
        overrides: `section.key=value` strings; a method takes of `method.key` what it has.

    Raises:
        UsageError: an unknown method, or a key of [method] that none of them has.
        RecipeError: the recipe has problems.
    """
    for name in names:
        if name not in METHODS:
            hint = did_you_mean(name, METHODS) or "known: " + ", ".join(METHODS)
            raise UsageError(f'unknown method "{name}"', hint)
    tables = override({**copy.deepcopy(tables), "method": {}}, overrides)
    settings = tables["method"]
    _check_settings(settings, names)
    return {name: _recipe(name, settings, tables) for name in names}


def _check_settings(settings, names):
    if not isinstance(settings, dict) or "name" in settings:
        raise UsageError("--set method: methods are chosen with --method", "--method compacterpp")
    known = {field for name in names for field in METHODS[name].model_fields} - {"name"}
    for key in settings:
        if key not in known:
            hint = did_you_mean(key, known) or "they have: " + ", ".join(sorted(known))
            raise UsageError(f"--set method.{key}: none of the methods measured has it", hint)


def _recipe(name, settings, tables):
    own = {key: value for key, value in settings.items() if key in METHODS[name].model_fields}
    tables = {**tables, "method": {"name": name, **own}}
    kind = recipe_class(tables)
    try:
        return kind.model_validate(tables).resolved()
    except ValidationError as error:
        raise RecipeError("profile", problems_of(error, kind, (Recipe, OwnRecipe))) from None

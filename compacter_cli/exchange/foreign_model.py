"""Adapters of other libraries, once read: a recipe and a model made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compacter_cli.errors import CompacterError, UsageError, excerpt
from compacter_cli.exchange.foreign import CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from compacter_cli.exchange.foreign import Counterpart, Foreign
    from compacter_cli.methods.base import Method
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.shapes import T5Shape


def tables_with(
    directory: Path, library: str, recipe: str | None, overrides: Iterable[str]
) -> tuple[str, dict[str, Any], T5Shape]:
    """`(where it is from, tables of a recipe, dimensions of its backbone)` for a foreign adapter.

    Raises:
        UsageError: task or backbone are not said.
    """
    from compacter_cli.recipe.tables import override, read_tables
    from compacter_cli.t5.shapes import shape_of

    source, tables = read_tables(recipe) if recipe is not None else (str(directory), {})
    tables = override(tables, overrides)
    backbone = tables.get("backbone")
    preset = backbone.get("preset") if isinstance(backbone, dict) else None
    if not isinstance(preset, str) or "task" not in tables:
        raise UsageError(
            f"{directory} holds an adapter of {library}, which does not say what it answers nor "
            "where its backbone is",
            "give --recipe NAME, or --set task=NAME --set backbone.preset=DIR",
        )
    return source, tables, shape_of(preset)


def recipe_with(
    adapter: Foreign,
    source: str,
    tables: dict[str, Any],
    settings: Mapping[str, Any],
    family: Collection[str],
) -> Recipe:
    """The recipe of `tables`, its method the adapter's own.

    Args:
        adapter: whose recipe it is.
        source: where the tables are from.
        tables: of a recipe, whose `[method]` may say what it likes, and be missing.
        settings: of the method, `None` where it must not be said; `name` is the likeliest.
        family: names of the methods that take these settings.

    Raises:
        UsageError: the tables say another method.
        RecipeError: they are wrong otherwise.
    """
    from compacter_cli.recipe.recipe import recipe_of

    said = tables.get("method", {})
    if isinstance(said, dict):
        for key, value in said.items():
            agrees = key not in settings or value == settings[key]
            if not agrees and not (key == "name" and value in family):
                raise UsageError(
                    f"method.{key} = {excerpt(value)}: the adapter in {adapter.directory} has "
                    f"{'none' if settings[key] is None else excerpt(settings[key])}",
                    f"it is read from the adapter: leave method.{key} out, or --set method='{{}}'",
                )
        found = {key: value for key, value in settings.items() if value is not None}
        tables = {**tables, "method": {**found, **said}}
    return recipe_of(tables, source)


def model_of(
    adapter: Foreign,
    recipe: Recipe,
    backbone: Backbone,
    counterpart: Callable[[str], Counterpart],
) -> T5Model:
    """The model of a foreign adapter on its backbone, computed as the recipe says.

    Args:
        adapter: a foreign one.
        recipe: as `recipe_with` made it.
        backbone: of the recipe.
        counterpart: the foreign tensor of one of ours.

    Raises:
        CompacterError: its tensors are not those of the recipe's method on this backbone.
    """
    from compacter_cli.adapters.restoring import model_of

    _check_size(adapter, recipe.method, backbone)
    model = model_of(backbone, recipe)
    wanted = {counterpart(name).name: name for name in model.trained}
    if odd := sorted(wanted.keys() ^ adapter.tensors.keys()):
        where = "is missing" if odd[0] in wanted else "has no counterpart"
        raise _another(adapter, recipe, f"{excerpt(odd[0])} {where}")
    try:
        model.assign(
            {name: counterpart(name).ours(adapter.tensors[their]) for their, name in wanted.items()}
        )
    except ValueError as error:
        raise _another(adapter, recipe, error) from error
    return model


def _check_size(adapter: Foreign, method: Method, backbone: Backbone) -> None:
    """Refuse, before layers are made of the sizes that a config says, such as nobody trains."""
    from compacter_cli.t5.placement import shape_of_backbone

    shape = shape_of_backbone(backbone.keras)
    wanted, most = sum(method.count(shape).values()), shape.parameters()
    if wanted > most:
        raise CompacterError(
            f"{adapter.directory}: by its {CONFIG} {method.name} trains {wanted:,} parameters of "
            f"a T5 of {most:,}",
            "copy the adapter again from its source",
        )


def _another(adapter: Foreign, recipe: Recipe, why: object) -> CompacterError:
    return CompacterError(
        f"{adapter.directory}: its weights are not those of {recipe.method.name} on "
        f"{recipe.backbone.preset} ({why})",
        "is that the T5 that it was trained on?",
    )

"""From an adapter's file to a model that answers: its recipe, its backbone, its method's layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from compacter_cli.adapters.manifest import read_manifest
from compacter_cli.errors import CompacterError, UsageError, excerpt
from compacter_cli.recipe.earlier import completed
from compacter_cli.recipe.recipe import Recipe, recipe_of, recipe_of_run
from compacter_cli.recipe.tables import override
from compacter_cli.section import differences, value_at
from compacter_cli.t5.loading import Backbone, load_backbone

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.adapters.adapter_file import AdapterFile
    from compacter_cli.adapters.manifest import Manifest
    from compacter_cli.methods.base import Method
    from compacter_cli.recipe.tables import Overrides
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.shapes import T5Shape

# What may differ from the recipe that an adapter was trained by: where its backbone and its rows
# are, how rows are read, and how it is computed. Not the seed of the splits, which would put rows
# that it was trained or chosen on into the test, nor the labels.
CHANGEABLE = (
    "backbone.preset", "backbone.precision",
    "data.data_dir", "data.folder", "data.archive", "data.train", "data.validation", "data.test",
    "data.source", "data.target", "data.metrics", "data.source_length", "data.target_length",
    "data.max_train_samples", "train.eval_batch_size", "train.execution",
)  # fmt: skip


class Chosen(NamedTuple):
    """An adapter's directory, the recipe by which it is used, and its manifest."""

    directory: Path
    recipe: Recipe
    manifest: Manifest


def chosen(directory: Path, overrides: Overrides = ()) -> Chosen:
    """The adapter in `directory`, with the `--set` values of its use now.

    Raises:
        UsageError: a value would make it another adapter, or means nothing to a trained one.
        RecipeError: a value does not fit.
        CompacterError: there is no adapter, it is damaged, or its manifest does not describe it.
    """
    manifest = read_manifest(directory)
    return Chosen(directory, recipe_with(manifest, directory, overrides), manifest)


def backbone_of(recipe: Recipe) -> Backbone:
    """The backbone of a recipe, loaded in the precision in which its method wants it stored."""
    section = recipe.backbone
    return load_backbone(section.preset, section.precision, recipe.method.trains_in_place)


def recipe_of_manifest(manifest: Manifest, directory: Path) -> Recipe:
    """The `Recipe` in the manifest of the adapter in `directory`.

    Raises:
        CompacterError: it is none, or its task or method is not the manifest's.
    """
    try:
        recipe = recipe_of_run(manifest["recipe"])
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise undescribed(directory, f"recipe.{key}: {first['msg']}") from error
    if recipe.task != manifest["task"]:
        raise undescribed(directory, "its task is not its recipe's")
    if recipe.method.settings() != {**recipe.method.unsaid, **manifest["method"]}:
        raise undescribed(directory, "its method is not its recipe's")
    return recipe


def recipe_with(manifest: Manifest, directory: Path, overrides: Overrides) -> Recipe:
    """The recipe that an adapter was trained by, with the `--set` values of its use now.

    Raises:
        UsageError: a value would make it another adapter, or means nothing to a trained one.
        RecipeError: a value does not fit.
        CompacterError: the manifest does not describe the adapter.
    """
    tables = override(completed(manifest["recipe"]), overrides)
    recipe = recipe_of(tables, str(directory))
    check_use(manifest, directory, recipe)
    return recipe


def meant_then(manifest: Manifest, directory: Path) -> str | None:
    """What an adapter of an earlier version is that one of the same recipe would not be today.

    Returns:
        `method.final_norms = True`, or `None` where there is nothing to tell.

    Raises:
        CompacterError: the manifest does not describe the adapter.
    """
    then = recipe_of_manifest(manifest, directory).resolved().plain()
    now = Recipe.model_validate(manifest["recipe"]).resolved().plain()
    told = [f"{key} = {value_at(then, key, '') or 'nothing'}" for key in differences(then, now)]
    return ", ".join(told) or None


def check_use(manifest: Manifest, directory: Path, recipe: Recipe) -> None:
    """Refuse a recipe by which an adapter would be another, or that changes what has no effect.

    Raises:
        UsageError: it differs from the adapter's own in more than `CHANGEABLE`.
        CompacterError: the manifest does not describe the adapter.
    """
    trained = recipe_of_manifest(manifest, directory).resolved()
    before, now = trained.plain(), recipe.plain()
    for key in differences(before, now):
        if key not in CHANGEABLE:
            raise UsageError(
                f"{key} = {value_at(now, key, 'none')}: the adapter in {directory} was trained "
                f"with {value_at(before, key, 'none')}, which cannot be changed any more",
                "can be changed: " + ", ".join(CHANGEABLE),
            )


def model_of(backbone: Backbone, recipe: Recipe) -> T5Model:
    """A model with a recipe's method on a backbone, untrained, computed as the recipe says.

    Raises:
        ValueError: the method does not fit the backbone.
    """
    from compacter_cli.t5.model import T5Model

    return T5Model(
        backbone.keras,
        recipe.method,
        seed=recipe.seed,
        compute_dtype=recipe.backbone.precision,
        exact=backbone.exact,
        execution=recipe.train.execution,
    )


def model_with(backbone: Backbone, adapter: AdapterFile, recipe: Recipe) -> T5Model:
    """A model with a loaded adapter, computed as `recipe` says; what the two hold is checked.

    Raises:
        CompacterError: another backbone, or tensors that are not those of the adapter's method.
    """
    from compacter_cli.adapters.adapter_file import check_backbone
    from compacter_cli.t5.placement import shape_of_backbone

    check_backbone(adapter, backbone)
    check_count(adapter, recipe.method, shape_of_backbone(backbone.keras))
    try:
        model = model_of(backbone, recipe)
        model.assign(adapter.tensors)
    except ValueError as error:
        raise undescribed(adapter.directory, error) from error
    return model


def check_count(adapter: AdapterFile, method: Method, shape: T5Shape) -> None:
    """Refuse an adapter whose method trains another number of weights than its file holds.

    It comes before the method's layers are made: they are of what size the manifest says.

    Raises:
        CompacterError: it does, or does not fit a backbone of dimensions `shape`.
    """
    if problems := method.problems(shape):
        raise undescribed(adapter.directory, problems[0].message)
    wanted = sum(method.count(shape).values())
    found = sum(tensor.numel() for tensor in adapter.tensors.values())
    if wanted != found:
        why = f"its method trains {wanted:,} parameters, the file holds {found:,}"
        raise undescribed(adapter.directory, why)


def undescribed(directory: Path, why: object) -> CompacterError:
    """The error of a manifest that says other things than the adapter's weights."""
    first_line = excerpt(str(why).partition("\n")[0], 300)
    return CompacterError(
        f"{directory}: the manifest does not describe this adapter ({first_line})"
    )

"""The adapter that a run starts from (`train.init_from`): another run's, of the same method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.adapters.manifest import adapter_in, read_manifest
from compacter_cli.adapters.restoring import recipe_of_manifest
from compacter_cli.errors import UsageError, excerpt
from compacter_cli.section import differences, value_at

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.adapters.manifest import StartedFrom
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.t5.model import T5Model


def check_initial(recipe: Recipe, directory: Path) -> None:
    """Refuse a `train.init_from` that cannot be started from, as far as its manifest tells.

    Args:
        recipe: resolved recipe.
        directory: run directory to write.

    Raises:
        UsageError: it lies in `directory`, or is of another method or of other settings.
        CompacterError: there is no adapter, or it is damaged.
    """
    if recipe.train.init_from is None:
        return
    source = adapter_in(recipe.train.init_from)
    if directory.resolve() in (source.resolve(), *source.resolve().parents):
        raise UsageError(
            f"train.init_from: {source} lies in {directory}, which the run is written to",
            "choose another --output",
        )
    theirs = recipe_of_manifest(read_manifest(source), source).method.settings()
    own = recipe.method.settings()
    other = differences(theirs, own)
    if "name" in other:  # of another method everything is otherwise
        other = ["name"]
    if other:
        sides = ", ".join(
            f"method.{key} = {excerpt(value_at(theirs, key, 'not set'))} there, "
            f"{excerpt(value_at(own, key, 'not set'))} here"
            for key in other
        )
        raise UsageError(
            f"train.init_from: the adapter in {source} is another than this recipe trains: {sides}",
            "start from one of the same method and settings",
        )


def start_from(model: T5Model, backbone: Backbone, recipe: Recipe) -> StartedFrom | None:
    """Give a model that is to be trained the weights of the recipe's `train.init_from`.

    Returns:
        What they are, for the record; `None` where the recipe names none.

    Raises:
        UsageError: they are of another method, or do not fit the model.
        CompacterError: the adapter is damaged, or of another backbone.
    """
    from compacter_cli.adapters.adapter_file import check_backbone, load_adapter

    if recipe.train.init_from is None:
        return None
    adapter = load_adapter(adapter_in(recipe.train.init_from))
    check_backbone(adapter, backbone)
    try:
        model.assign(adapter.tensors)
    except ValueError as error:
        raise UsageError(
            f"train.init_from: {adapter.directory} does not fit: {excerpt(str(error), 300)}",
            "start from one of the same method and settings",
        ) from error
    return {"task": adapter.manifest["task"], "sha256": adapter.manifest["sha256"]}

"""Adapters of this program: read from a run, written from those of other programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.adapters.manifest import MANIFEST
from compacter_cli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compacter_cli.exchange.trained import AdapterWritten, Trained
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.t5.model import T5Model

BEST = "best"  # where a run has its adapter: predict and evaluate take what is written as a run


def recognise(directory: Path) -> bool:
    """Whether a directory holds an adapter of this program."""
    return (directory / MANIFEST).is_file()


def recipe_of(directory: Path, recipe: str | None, overrides: Sequence[str]) -> Recipe:
    """The recipe that the adapter was trained by, which is in its manifest.

    Raises:
        UsageError: another recipe is given, or a value would make it another adapter.
        CompacterError: the manifest is damaged.
    """
    from compacter_cli.adapters.restoring import chosen

    if recipe is not None:
        raise UsageError(
            f"--recipe {recipe}: the adapter in {directory} holds the recipe it was trained by",
            "leave --recipe out; --set changes where backbone and rows are",
        )
    return chosen(directory, overrides).recipe


def read(directory: Path, recipe: Recipe, backbone: Backbone) -> T5Model:
    """The model of an adapter on its backbone.

    Raises:
        UsageError: the recipe is another adapter's.
        CompacterError: the adapter is damaged, or not of this backbone.
    """
    from compacter_cli.adapters.adapter_file import load_adapter
    from compacter_cli.adapters.restoring import check_use, model_with

    loaded = load_adapter(directory)
    check_use(loaded.manifest, loaded.directory, recipe)
    return model_with(backbone, loaded, recipe)


def write(trained: Trained, directory: Path) -> AdapterWritten:
    """Write the adapter, as the best one of a run that has nothing else."""
    from compacter_cli.adapters.adapter_file import manifest_of, save_adapter

    model, recipe = trained.model, trained.recipe
    tensors = model.trained_tensors()
    manifest = manifest_of(
        tensors,
        method=recipe.method.settings(),
        task=recipe.task,
        backbone=trained.backbone,
        shape=model.shape,
        recipe=recipe.plain(),
    )
    if trained.origin is not None:
        manifest["origin"] = trained.origin
    save_adapter(directory / BEST, tensors, manifest)
    return {
        "tensors": len(tensors),
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
        "notes": [],
    }

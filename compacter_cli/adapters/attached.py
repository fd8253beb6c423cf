"""What `attach` put into KerasHub's own T5: saved, loaded, and taken out again."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.adapters.adapter_file import (
    AdapterFile,
    check_place,
    load_adapter,
    manifest_of,
    save_adapter,
)
from compacter_cli.adapters.fitting import check_trained_on, check_values, method_of
from compacter_cli.adapters.manifest import adapter_in
from compacter_cli.adapters.restoring import recipe_of_manifest
from compacter_cli.errors import CompacterError, UsageError, user_path
from compacter_cli.methods.base import Method
from compacter_cli.recipe.recipe import Recipe, load_recipe
from compacter_cli.recipe.tables import Overrides, override
from compacter_cli.t5.loading import fingerprint_of, load_backbone, stored_in
from compacter_cli.t5.placement import backbone_weights, shape_of_backbone, turn_into, unwrap
from compacter_cli.t5.tensors import first_not_finite
from compacter_cli.t5.variables import assign_all
from compacter_cli.tasks.own import FORMATS

if TYPE_CHECKING:
    import keras
    import keras_hub

# What an adapter answers whose task nobody has named: texts with texts.
_TEXT_TO_TEXT = {"train": "train.jsonl", "source": "{source}", "target": "{target}"}


@dataclass
class Attached:
    """What `attach` put into a backbone.

    Attributes:
        backbone: the KerasHub `T5Backbone`.
        method: whose layers they are.
        layers: the added layers by structural name.
        trained: every trained variable by structural name, as an adapter file names them.
        recipe: by which a saved adapter was trained, `None` of untrained layers.
    """

    backbone: keras_hub.models.T5Backbone
    method: Method
    layers: dict[str, keras.layers.Layer]
    trained: dict[str, keras.Variable]
    _originals: dict[str, keras.Variable]  # what trained weights of the backbone were before
    _wrapped: tuple[str, ...]  # the layers of the backbone that have one of them
    _class: type[keras_hub.models.T5Backbone]  # the backbone's own, before
    recipe: Recipe | None = None

    def __repr__(self) -> str:
        size = sum(math.prod(variable.shape) for variable in self.trained.values())
        return f"<{self.method.title}, {size:,} trained parameters>"

    def detach(self) -> None:
        """Take the layers out again and give the backbone its own values back, all trainable.

        A second time it does nothing.

        Raises:
            UsageError: the model was quantized since, or Keras' own LoRA enabled.
        """
        if not self._wrapped:
            return
        weights = backbone_weights(self.backbone)
        for name in self._wrapped:
            unwrap(self.backbone, name)
        self._wrapped = ()
        for name, value in self._originals.items():
            weights[name].assign(value)
        for variable in weights.values():
            variable.trainable = True
        object.__delattr__(self.backbone, "attached")
        turn_into(self.backbone, type(self.backbone), self._class)

    def save(
        self,
        directory: Path | str,
        preset: Path | str | None = None,
        overrides: Overrides = (),
        *,
        overwrite: bool = False,
    ) -> None:
        """Write what is trained as an adapter, which `evaluate`, `predict` and `attach` read.

        Args:
            directory: to be written, a new or an empty one.
            preset: where the backbone came from, a KerasHub name or a directory. It is loaded
                to be compared; it may be left out where a saved adapter was attached.
            overrides: what else a recipe says of its use, by dotted key: `task`, and `data.source`,
                `data.labels` and so on. Where no task is named, texts answer texts.
            overwrite: replace an adapter that is there; never anything else.

        Raises:
            UsageError: it was detached, the directory holds something, no preset is known, or the
                recipe that this makes has problems.
            CompacterError: the backbone is not the preset's, or a weight is not finite.

        Examples:
            >>> attached.save("my_adapter", "path/to/preset", {"data.labels": ["bad", "good"]})
            >>> Predictor(load_backbone("path/to/preset"), "my_adapter").predict(texts)
        """
        self._check_attached()
        place = user_path(directory)
        check_place(place, overwrite)
        recipe = self._recipe_for(preset, overrides)
        tensors = {name: v.value.detach().float() for name, v in self.trained.items()}
        if name := first_not_finite(tensors):
            raise CompacterError(f"cannot save the adapter: {name} holds NaN or infinity")
        backbone = load_backbone(recipe.backbone.preset)
        stored, _ = stored_in(self.backbone.variable_dtype, backbone.keras)
        if fingerprint_of(backbone_weights(stored)) != fingerprint_of(self._untrained()):
            raise CompacterError(
                f"cannot save the adapter: {preset or recipe.backbone.preset} is not the backbone "
                "that it was trained on",
                "give the preset that the model was made from",
            )
        manifest = manifest_of(
            tensors,
            method=self.method.settings(),
            task=recipe.task,
            backbone=backbone,
            shape=shape_of_backbone(self.backbone),
            recipe=recipe.plain(),
        )
        save_adapter(place, tensors, manifest)

    def load(self, directory: Path | str) -> None:
        """Take the values of a saved adapter of the same method and backbone.

        Raises:
            UsageError: this one was detached.
            CompacterError: it is damaged, or of another backbone or method; nothing is changed.
        """
        self._check_attached()
        loaded = load_adapter(adapter_in(directory))
        check_trained_on(loaded, self._untrained())
        if method_of(loaded, self.backbone) != self.method:
            raise CompacterError(
                f"{loaded.directory} is an adapter of other settings than what is attached",
                "detach that first, and attach the directory",
            )
        check_values(loaded, self.trained)
        self.take(loaded)

    def take(self, loaded: AdapterFile) -> None:
        """Take the values of an adapter that was checked."""
        assign_all(self.trained, loaded.tensors)
        self.recipe = recipe_of_manifest(loaded.manifest, loaded.directory)

    def _check_attached(self) -> None:
        if not self._wrapped:
            raise UsageError(
                "nothing is attached any more: detach() gave the backbone its own weights back",
                "save before that, or attach again",
            )

    def _untrained(self) -> dict[str, keras.Variable]:
        """The backbone's weights as they were before any was trained."""
        return {**backbone_weights(self.backbone), **self._originals}

    def _recipe_for(self, preset: Path | str | None, overrides: Overrides) -> Recipe:
        """The recipe by which the adapter is used, without a rate or anything else of training."""
        tables = override({} if self.recipe is None else self.recipe.plain(), overrides)
        if preset is not None:
            tables["backbone"] = {**tables.get("backbone", {}), "preset": str(preset)}
        if "preset" not in tables.get("backbone", {}):
            raise UsageError(
                "an adapter's file says where its backbone is, and nobody has said it",
                'save(directory, "path/to/preset")',
            )
        data = tables.setdefault("data", {})
        if tables.setdefault("task", "jsonl") in FORMATS:
            tables["data"] = {**_TEXT_TO_TEXT, **data}
        tables["data"].setdefault("prefix", "")  # texts as they were in fit()
        return load_recipe({**tables, "method": self.method.settings()})

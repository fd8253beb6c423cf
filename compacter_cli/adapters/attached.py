"""What is put into KerasHub's own T5, as KerasHub and Keras save and load it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import compacter_layers  # noqa: F401  # before keras, whose backend it chooses where nobody has
import keras
import keras_hub

from compacter_cli.adapters.adapter_file import (
    AdapterFile,
    load_adapter,
    manifest_of,
    save_adapter,
)
from compacter_cli.adapters.manifest import adapter_in
from compacter_cli.adapters.restoring import check_count, recipe_of_manifest, undescribed
from compacter_cli.errors import CompacterError, UsageError, user_path
from compacter_cli.methods.base import Method
from compacter_cli.recipe.choices import read_method
from compacter_cli.recipe.recipe import Recipe, load_recipe
from compacter_cli.recipe.tables import Overrides, override
from compacter_cli.t5.loading import fingerprint_of, load_backbone, stored_in
from compacter_cli.t5.model import assign_all, check_fit, named_variables
from compacter_cli.t5.placement import (
    AdaptedProjection,
    FedProjection,
    SummedProjection,
    adapted_projections,
    backbone_weights,
    select,
    shape_of_backbone,
    unwrap,
    wrap,
)
from compacter_cli.t5.tensors import first_not_finite
from compacter_cli.tasks.own import FORMATS

_NO_PLACE = {
    "bias": "biases stand behind layer norms and the head too",
    "bottleneck": "an adapter beside a sub-layer, or behind the sum with its residual, is fed "
    "what no projection gives out",
    "prompt": "a prompt stands before every source, and lengthens it",
    "weight": "it makes all weights anew in each pass",
}
# What an adapter answers whose task nobody has named: texts with texts.
_TEXT_TO_TEXT = {"train": "train.jsonl", "source": "{source}", "target": "{target}"}
_BEFORE = "before."  # in a file of weights: what was in the place of the trained ones


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
    _wrapped: tuple[str, ...]  # the projections that have one of the layers
    recipe: Recipe | None = None

    def __repr__(self) -> str:
        size = sum(math.prod(variable.shape) for variable in self.trained.values())
        return f"<{self.method.title}, {size:,} trained parameters>"

    def detach(self) -> None:
        """Take the layers out again and give the backbone its own values back, all trainable.

        A second time it does nothing.
        """
        if not self._wrapped:
            return
        for name in self._wrapped:
            unwrap(self.backbone, name)
        self._wrapped = ()
        weights = backbone_weights(self.backbone)
        for name, value in self._originals.items():
            weights[name].assign(value)
        for variable in weights.values():
            variable.trainable = True
        object.__delattr__(self.backbone, "attached")
        _turn_into(self.backbone, AdaptedT5Backbone, keras_hub.models.T5Backbone)

    def save(
        self, directory: Path | str, preset: Path | str | None = None, overrides: Overrides = ()
    ) -> None:
        """Write what is trained as an adapter, which `evaluate`, `predict` and `attach` read.

        Args:
            directory: to be written; an adapter that is there is replaced.
            preset: where the backbone came from, a KerasHub name or a directory. It is loaded
                to be compared; it may be left out where a saved adapter was attached.
            overrides: what else a recipe says of its use, by dotted key: `task`, and `data.source`,
                `data.labels` and so on. Where no task is named, texts answer texts.

        Raises:
            UsageError: it was detached, no preset is known, or the recipe that this makes has
                problems.
            CompacterError: the backbone is not the preset's, or a weight is not finite.

        Examples:
            >>> attached.save("my_adapter", "path/to/preset", {"data.labels": ["bad", "good"]})
            >>> Predictor(load_backbone("path/to/preset"), "my_adapter").predict(texts)
        """
        self._check_attached()
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
        save_adapter(user_path(directory), tensors, manifest)

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


@keras.saving.register_keras_serializable(package="compacter")
class AdaptedT5Backbone(keras_hub.models.T5Backbone):
    """KerasHub's T5 with what `attach` put into it; its config names the method and its settings.

    Whatever Keras or KerasHub save of it they load again where this class is known: after
    `from compacter_cli import attach`. Nobody makes one but `attach`, and loading.

    Attributes:
        attached: the `Attached`.
    """

    attached: Attached

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "adapter": self.attached.method.settings()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        plain = dict(config)
        method = read_method(plain.pop("adapter"))
        backbone = keras_hub.models.T5Backbone.from_config(plain)
        put_in(backbone, method)
        if not plain.get("trainable", True):
            backbone.trainable = False  # of all: what put_in had let train, too
        return backbone

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        for name, value in self.attached._originals.items():
            store[_BEFORE + name] = value

    def load_own_variables(self, store: Any) -> None:
        for name, value in self.attached._originals.items():
            value.assign(store[_BEFORE + name])


@keras.saving.register_keras_serializable(package="compacter")
class AdaptedT5Seq2SeqLM(keras_hub.models.T5Seq2SeqLM):
    """What `T5Seq2SeqLM.from_preset` finds for a preset with an adapter; it makes a `T5Seq2SeqLM`.

    So that a model is the same whether what is attached to it was loaded or not, and nothing of
    this program's once it is detached.
    """

    backbone_cls = AdaptedT5Backbone

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _turn_into(self, AdaptedT5Seq2SeqLM, keras_hub.models.T5Seq2SeqLM)


def put_in(
    backbone: keras_hub.models.T5Backbone,
    method: Method,
    seed: int = 0,
    saved: AdapterFile | None = None,
) -> Attached:
    """Put a method's layers into a backbone and freeze it but for what trains.

    Args:
        backbone: any T5.
        method: whose layers they are.
        seed: of their initial values.
        saved: whose values they take instead.

    Raises:
        ValueError: the method adds nothing, or what has no place in KerasHub's T5; its sizes do
            not fit, or an adapter is attached already.
        CompacterError: what is saved is not of this method. Nothing is changed then, as above.
    """
    weights, shape = backbone_weights(backbone), shape_of_backbone(backbone)
    policy = "mixed_bfloat16" if backbone.compute_dtype == "bfloat16" else "float32"
    layers = method.build(shape, seed, policy, weights)
    places = _places(method, layers)
    if "head" in method.trains and "head" not in weights:
        raise ValueError("a tied output head cannot be trained in KerasHub's own model")
    if taken := adapted_projections(backbone):
        raise ValueError(f"{taken[0]} already has an adapter; detach it first")
    trained = {name: weights[name] for name in select(weights, method.trains)}
    trained |= named_variables(layers)
    if saved:
        check_values(saved, trained)
    for name, (layer, how) in places.items():
        wrap(backbone, name, layer, how)
    originals = {}
    for name, variable in weights.items():
        variable.trainable = name in trained
        if variable.trainable:
            originals[name] = _copy_of(variable)
    attached = Attached(backbone, method, layers, trained, originals, tuple(places))
    object.__setattr__(backbone, "attached", attached)
    _turn_into(backbone, keras_hub.models.T5Backbone, AdaptedT5Backbone)
    if saved:
        attached.take(saved)
    return attached


def _copy_of(variable: keras.Variable) -> keras.Variable:
    value = keras.ops.copy(variable)
    return keras.Variable(value, dtype=variable.dtype, trainable=False, name=variable.name)


def _turn_into(model: keras.Model, before: type, after: type) -> None:
    """Let a model be of another class where it is; one of somebody's own class stays of it."""
    if type(model) is before:
        object.__setattr__(model, "__class__", after)


def _places(
    method: Method, layers: Mapping[str, keras.layers.Layer]
) -> dict[str, tuple[keras.layers.Layer, type[AdaptedProjection]]]:
    """Each layer by the projection that it goes to, and how.

    Raises:
        ValueError: there is no layer, or no place for one.
    """
    places = {}
    for name, layer in layers.items():
        kind = getattr(layer, "kind", None)
        if kind == "bottleneck" and name.endswith(".adapter"):
            places[name.removesuffix("adapter") + "output"] = layer, AdaptedProjection
        elif kind == "delta":
            places[name.removesuffix(".delta")] = layer, SummedProjection
        elif kind == "scale" and name.endswith(".inner.scale"):
            places[name.removesuffix("inner.scale") + "output"] = layer, FedProjection
        elif kind == "scale":
            places[name.removesuffix(".scale")] = layer, AdaptedProjection
        elif kind != "shared":
            why = _NO_PLACE.get(str(kind), f"a layer of the kind {kind}")
            raise ValueError(f"{method.name} has no place in KerasHub's own T5: {why}")
    if not places:
        raise ValueError(
            f"{method.name} adds nothing that could be attached: fit() of the model as it is "
            "trains everything"
        )
    return places


def method_of(loaded: AdapterFile, backbone: keras_hub.models.T5Backbone) -> Method:
    """The method of a saved adapter, whose file holds as many weights as it trains.

    Raises:
        CompacterError: its manifest does not describe it.
    """
    method = recipe_of_manifest(loaded.manifest, loaded.directory).method
    check_count(loaded, method, shape_of_backbone(backbone))
    return method


def check_values(loaded: AdapterFile, trained: Mapping[str, keras.Variable]) -> None:
    """Raise `CompacterError` unless a saved adapter's tensors are those of `trained`."""
    try:
        check_fit(trained, loaded.tensors)
    except ValueError as error:
        raise undescribed(loaded.directory, error) from error


def check_trained_on(loaded: AdapterFile, weights: Mapping[str, keras.Variable]) -> None:
    """Raise `CompacterError` unless a saved adapter was trained on a backbone of these weights."""
    trained_on, found = loaded.manifest["backbone"], fingerprint_of(weights)
    if (wanted := trained_on["fingerprint"]) == found:
        return
    rounded = any(variable.dtype != "float32" for variable in weights.values())
    raise CompacterError(
        f"{loaded.directory} was trained on another backbone: fingerprint {wanted[:12]}…, "
        f"this one has {found[:12]}…",
        'load the preset with dtype="mixed_bfloat16": its weights are rounded here'
        if rounded
        else f"load it onto {trained_on['preset']}",
    )

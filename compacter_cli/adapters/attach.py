"""`attach`: a method's layers inside KerasHub's own T5, for its `fit()` and `generate()`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from compacter_cli.adapters.adapter_file import AdapterFile, load_adapter
from compacter_cli.adapters.restoring import check_count, recipe_of_manifest, undescribed
from compacter_cli.errors import CompacterError
from compacter_cli.methods.base import Method
from compacter_cli.t5.loading import fingerprint_of
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
from compacter_cli.t5.shapes import T5Shape

_NO_PLACE = {
    "bias": "biases stand behind layer norms and the head too",
    "bottleneck": "an adapter beside a sub-layer, or behind the sum with its residual, is fed "
    "what no projection gives out",
    "prompt": "a prompt stands before every source",
    "weight": "it makes all weights anew in each pass",
}


@dataclass
class Attached:
    """What `attach` put into a backbone.

    Attributes:
        backbone: the KerasHub `T5Backbone`.
        layers: the added layers by structural name.
        trained: every trained variable by structural name, as an adapter file names them.
    """

    backbone: Any  # keras_hub.models.T5Backbone
    layers: dict[str, keras.layers.Layer]
    trained: dict[str, keras.Variable]
    _originals: dict[str, tuple[keras.Variable, Any]]  # backend tensors of what was there
    _wrapped: tuple[str, ...]  # the projections that have one of the layers

    def detach(self) -> None:
        """Take the layers out again and give the backbone its own values back, all trainable.

        A second time it does nothing.
        """
        if not self._wrapped:
            return
        for name in self._wrapped:
            unwrap(self.backbone, name)
        self._wrapped = ()
        for variable, value in self._originals.values():
            variable.assign(value)
        for variable in backbone_weights(self.backbone).values():
            variable.trainable = True


def attach(backbone: Any, adapter: Method | Path | str, *, seed: int = 0) -> Attached:
    """Put a method's layers into a KerasHub `T5Backbone`, around the projections they change.

    Bottlenecks, deltas and scales have a place there. The backbone is frozen but for what the
    method trains (all layer norms, of bottlenecks); a `T5Seq2SeqLM` that is built on it, before or
    after, then fits and generates with the adapter.

    Args:
        backbone: KerasHub `T5Backbone`, any T5.
        adapter: settings of a method, for untrained layers; or the directory of a saved adapter,
            whose backbone must be this one.
        seed: Seed of untrained layers' initial values.

    Returns:
        An `Attached`, with the trained variables by name and a `detach()`.

    Raises:
        CompacterError: the adapter is damaged, or was trained on another backbone.
        ValueError: the method adds nothing, or what has no place in KerasHub's T5; its sizes do
            not fit, or an adapter is attached already.

    Examples:
        >>> lm = keras_hub.models.T5Seq2SeqLM.from_preset("path/to/preset")
        >>> attach(lm.backbone, CompacterPP(n=4, bottleneck=24))
        >>> lm.compile(optimizer=keras.optimizers.AdamW(3e-3)); lm.fit(...)
    """
    weights, shape = backbone_weights(backbone), shape_of_backbone(backbone)
    given = isinstance(adapter, Method)
    saved, method = (None, adapter) if given else _loaded(adapter, shape, weights)
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
        _check_fit(saved, trained)  # before anything of the backbone is changed
    for name, (layer, how) in places.items():
        wrap(backbone, name, layer, how)
    attached = _frozen_but(backbone, weights, layers, trained, tuple(places))
    if saved:
        assign_all(trained, saved.tensors)
    return attached


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
        raise ValueError(f"{method.name} adds nothing that could be attached")
    return places


def _frozen_but(
    backbone: Any,
    weights: Mapping[str, keras.Variable],
    layers: dict[str, keras.layers.Layer],
    trained: dict[str, keras.Variable],
    wrapped: tuple[str, ...],
) -> Attached:
    """The backbone, frozen but for `trained`, whose values are kept."""
    originals = {}
    for name, variable in weights.items():
        variable.trainable = name in trained
        if variable.trainable:
            originals[name] = (variable, keras.ops.copy(variable))
    return Attached(backbone, layers, trained, originals, wrapped)


def _check_fit(saved: AdapterFile, trained: Mapping[str, keras.Variable]) -> None:
    try:
        check_fit(trained, saved.tensors)
    except ValueError as error:
        raise undescribed(saved.directory, error) from error


def _loaded(
    directory: Path | str, shape: T5Shape, weights: Mapping[str, keras.Variable]
) -> tuple[AdapterFile, Method]:
    """A saved adapter of the backbone of `weights`, and its method."""
    loaded = load_adapter(directory)
    wanted, found = loaded.manifest["backbone"]["fingerprint"], fingerprint_of(weights)
    if wanted != found:
        raise CompacterError(
            f"{loaded.directory} was trained on another backbone: fingerprint {wanted[:12]}…, "
            f"this one has {found[:12]}…",
            f"load it onto {loaded.manifest['backbone']['preset']}",
        )
    method = recipe_of_manifest(loaded.manifest, loaded.directory).method
    check_count(loaded, method, shape)
    return loaded, method

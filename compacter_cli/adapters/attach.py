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
    adapted_sites,
    backbone_weights,
    select,
    shape_of_backbone,
    unwrap_output,
    wrap_output,
)
from compacter_cli.t5.shapes import T5Shape

_SUFFIX = ".adapter"


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

    def detach(self) -> None:
        """Take the layers out again and give the backbone its own values back, all trainable."""
        for name in self.layers:
            if name.endswith(_SUFFIX):
                unwrap_output(self.backbone, name.removesuffix(_SUFFIX))
        for variable, value in self._originals.values():
            variable.assign(value)
        for variable in backbone_weights(self.backbone).values():
            variable.trainable = True


def attach(backbone: Any, adapter: Method | Path | str, *, seed: int = 0) -> Attached:
    """Put a method's layers into a KerasHub `T5Backbone`, around sub-layers' output projections.

    The backbone is frozen but for what the method trains (all layer norms); a `T5Seq2SeqLM` that
    is built on it, before or after, then fits and generates with the adapter.

    Args:
        backbone: KerasHub `T5Backbone`, any T5.
        adapter: settings of a method, for untrained layers; or the directory of a saved adapter,
            whose backbone must be this one.
        seed: Seed of untrained layers' initial values.

    Returns:
        An `Attached`, with the trained variables by name and a `detach()`.

    Raises:
        CompacterError: the adapter is damaged, or was trained on another backbone.
        ValueError: the method adds no bottleneck adapters, its sizes do not fit, or an adapter is
            attached already.

    Example:
        >>> lm = keras_hub.models.T5Seq2SeqLM.from_preset("path/to/preset")
        >>> attach(lm.backbone, CompacterPP(n=4, bottleneck=24))
        >>> lm.compile(optimizer=keras.optimizers.AdamW(3e-3)); lm.fit(...)
    """
    weights, shape = backbone_weights(backbone), shape_of_backbone(backbone)
    given = isinstance(adapter, Method)
    saved, method = (None, adapter) if given else _loaded(adapter, shape, weights)
    policy = "mixed_bfloat16" if backbone.compute_dtype == "bfloat16" else "float32"
    layers = method.build(shape, seed, policy, weights)
    if not any(name.endswith(_SUFFIX) for name in layers):
        raise ValueError(f"only bottleneck adapters can be attached; {method.name} adds none")
    if "head" in method.trains and "head" not in weights:
        raise ValueError("a tied output head cannot be trained in KerasHub's own model")
    if taken := adapted_sites(backbone):
        raise ValueError(f"{taken[0]} already has an adapter; detach it first")
    trained = {name: weights[name] for name in select(weights, method.trains)}
    trained |= named_variables(layers)
    if saved:
        _check_fit(saved, trained)  # before anything of the backbone is changed
    attached = _put_in(backbone, weights, layers, trained)
    if saved:
        assign_all(trained, saved.tensors)
    return attached


def _put_in(
    backbone: Any,
    weights: Mapping[str, keras.Variable],
    layers: dict[str, keras.layers.Layer],
    trained: dict[str, keras.Variable],
) -> Attached:
    for name, layer in layers.items():
        if name.endswith(_SUFFIX):
            wrap_output(backbone, name.removesuffix(_SUFFIX), layer)
    originals = {}
    for name, variable in weights.items():
        variable.trainable = name in trained
        if variable.trainable:
            originals[name] = (variable, keras.ops.copy(variable))
    return Attached(backbone, layers, trained, originals)


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

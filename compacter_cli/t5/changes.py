"""What a method's layers change of a T5: each kind of change is carried out here, and only here.

A layer says by its attribute `kind` what it is, and by its structural name where:

    kind         name                    what
    bias         <weight>                a vector added behind a projection, layer norm or the head
    bottleneck   <sub-layer>.adapter     an adapter behind a sub-layer; of the name
                                         parallel_adapter, one beside it, and of the name
                                         residual_adapter, one behind its sum with the residual
    delta        <projection>.delta      a matrix added to a projection's weight
    prompt       any                     soft tokens before every source
    scale        <projection>.scale      factors on what a projection gives; of a feed-forward's
                                         `inner`, on what its output projection is given
    shared       any                     nothing by itself: other layers read what it holds
    weight       any                     makes the weights themselves anew in each pass
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from compacter_cli.t5.adapters import Adapters
from compacter_cli.t5.deltas import Deltas
from compacter_cli.t5.parts import Parts

if TYPE_CHECKING:
    import keras
    import torch
    from torch import Tensor

KINDS = ("bias", "bottleneck", "delta", "prompt", "scale", "shared", "weight")
ANYWHERE = ("prompt", "shared", "weight")  # kinds whose name is no place
ADAPTERS = ("adapter", "parallel_adapter", "residual_adapter")
PROJECTIONS = ("query", "key", "value", "output", "input", "gate")


class Changes:
    """The layers of a method, sorted by kind.

    Their variables are read once: Keras assigns to the tensors in place, and takes a while to read.

    Args:
        layers: built Keras layers by structural name.
        weights: structural names of the T5's weights.

    Attributes:
        kinds: those of `KINDS` that there are layers of.

    Raises:
        ValueError: a layer of no known kind, at a place that there is not, or a second prompt.
    """

    def __init__(self, layers: Mapping[str, keras.layers.Layer], weights: Collection[str]) -> None:
        by_kind: dict[str, dict[str, keras.layers.Layer]] = {kind: {} for kind in KINDS}
        for name, layer in layers.items():
            by_kind[_kind_of(name, layer, weights)][name] = layer
        self.kinds = tuple(kind for kind, there in by_kind.items() if there)
        if len(prompts := by_kind["prompt"]) > 1:
            raise ValueError(f"one prompt is all there is place for: {', '.join(prompts)}")
        biases, scales = by_kind["bias"].items(), by_kind["scale"].items()
        self._biases = {f"{name}.bias": layer.bias.value for name, layer in biases}
        self._scales = {name.removesuffix(".scale"): layer.factor.value for name, layer in scales}
        self._deltas = Deltas(
            {name.removesuffix(".delta"): layer for name, layer in by_kind["delta"].items()}
        )
        self._bottlenecks = Adapters(by_kind["bottleneck"])
        self._prompt = next(iter(prompts.values()), None)
        self._makers = list(by_kind["weight"].values())

    def parts(
        self, weights: Mapping[str, Tensor], dtype: torch.dtype, epsilon: float, remat: bool
    ) -> Parts:
        """The `Parts` of one pass, over the backbone's own `weights`, for computing in `dtype`.

        With `remat` what can be made where it is used is made there, twice, instead of kept.
        """
        for maker in self._makers:
            weights = maker.call(weights)
        return Parts(
            {
                # Layer norms, and biases behind them, are computed in float32.
                name: tensor if "layer_norm" in name else tensor.to(dtype)
                for name, tensor in {**weights, **self._biases}.items()
            },
            self._bottlenecks.bound(dtype, remat),
            epsilon,
            self._deltas.bound(dtype),
            {name: factor.to(dtype) for name, factor in self._scales.items()},
            self._prompt,
        )


def _kind_of(name: str, layer: keras.layers.Layer, weights: Collection[str]) -> str:
    """The kind of a layer; one that would train and change nothing is refused."""
    kind = getattr(layer, "kind", None)
    if kind not in KINDS:
        known = ", ".join(KINDS)
        raise ValueError(f"{name}: a layer's `kind` must be one of {known}. Received: {kind}")
    if kind not in ANYWHERE and name not in _places(kind, weights):
        raise ValueError(f"{name}: the T5 has no such place for a layer of the kind {kind}")
    return kind


def _places(kind: str, weights: Collection[str]) -> set[str]:
    """The names that layers of a kind can have."""
    projections = {name for name in weights if name.rpartition(".")[2] in PROJECTIONS}
    if kind == "bias":
        return projections | {n for n in weights if n.endswith("layer_norm")} | {"head"}
    if kind == "bottleneck":
        owners = [n.removesuffix("output") for n in projections if n.endswith(".output")]
        return {owner + name for owner in owners for name in ADAPTERS}
    if kind == "delta":
        return {f"{name}.delta" for name in projections}
    inner = {n.replace(".input", ".inner") for n in projections if n.endswith(".input")}
    return {f"{name}.scale" for name in projections | inner}

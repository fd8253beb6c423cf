"""What a method's layers change of a T5: each kind of change is carried out here, and only here.

A layer says by its attribute `kind` what it is:

    bias         a vector added behind the weight that it is named after
    bottleneck   an adapter behind the sub-layer that it is named after
    delta        a product of thin matrices added to the weight that it is named after
    prompt       soft tokens before every source
    scale        factors on what the projection that it is named after gives, or, behind a
                 feed-forward's `inner`, on what its output projection is given
    shared       nothing by itself: other layers read what it holds
    weight       makes the weights themselves anew in each pass
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from compacter_cli.t5.adapters import Adapters
from compacter_cli.t5.parts import Delta, Parts

if TYPE_CHECKING:
    import keras
    import torch
    from torch import Tensor

KINDS = ("bias", "bottleneck", "delta", "prompt", "scale", "shared", "weight")


class Changes:
    """The layers of a method, sorted by kind.

    Their variables are read once: Keras assigns to the tensors in place, and takes a while to read.

    Args:
        layers: built Keras layers by structural name.

    Raises:
        ValueError: a layer of no known kind, or more than one prompt.
    """

    def __init__(self, layers: Mapping[str, keras.layers.Layer]) -> None:
        of: dict[str, dict[str, keras.layers.Layer]] = {kind: {} for kind in KINDS}
        for name, layer in layers.items():
            kind = getattr(layer, "kind", None)
            if kind not in of:
                raise ValueError(
                    f"{name}: a layer's `kind` must be one of {', '.join(KINDS)}. Received: {kind}"
                )
            of[kind][name] = layer
        if len(of["prompt"]) > 1:
            raise ValueError(f"one prompt is all there is place for: {', '.join(of['prompt'])}")
        self._biases = {f"{name}.bias": layer.bias.value for name, layer in of["bias"].items()}
        self._deltas = of["delta"]
        self._scales = {name: layer.scale.value for name, layer in of["scale"].items()}
        self._bottlenecks = Adapters(of["bottleneck"])
        self._prompt = next(iter(of["prompt"].values()), None)
        self._makers = list(of["weight"].values())

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
            {name: _delta(layer, dtype) for name, layer in self._deltas.items()},
            {name: scale.to(dtype) for name, scale in self._scales.items()},
            self._prompt,
        )


def _delta(layer: keras.layers.Layer, dtype: torch.dtype) -> Delta:
    first, second = layer.factors()
    return Delta(first.to(dtype), second.to(dtype))

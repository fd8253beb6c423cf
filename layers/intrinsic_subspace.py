"""One small trained vector that moves every weight tensor of a model."""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, ClassVar

import keras
import torch
from compacter_layers.checks import check_positive
from compacter_layers.fastfood_projection import FastfoodProjection


@keras.saving.register_keras_serializable(package="compacter")
class IntrinsicSubspace(keras.layers.Layer):
    """`theta_i = theta_i,0 + lambda_i P_i(v)`: structure-aware intrinsic dimension (section 5.1).

    v starts at zero and the scales lambda at one, so nothing moves at first. The P_i are
    `FastfoodProjection`s drawn from `seed`. Torch backend alone.

    Args:
        dimension: Entries of v, without the scales.
        shapes: Shape of every weight tensor to move, by name.
        seed: Seed of the projections.
        gradient: "exact", or "released": as the paper's code computes it, whose backward divides
            each of a projection's two Hadamard transforms by the root of its length LL. Of the
            gradient of v each tensor then gives 1 / LL of its share, so small tensors lead; values
            and the gradient of the scales are the same.

    Attributes:
        v: shape `(dimension,)`.
        scales: shape `(number of tensors,)`, in the order of `shapes`.

    Call arguments:
        tensors: By the names of `shapes`; returned moved, other names untouched.

    Raises:
        ValueError: `dimension` is not a positive integer, `shapes` is empty, or `gradient` is
            neither.
    """

    kind: ClassVar[str] = "weight"

    v: keras.Variable
    scales: keras.Variable

    def __init__(
        self,
        dimension: int,
        shapes: Mapping[str, Iterable[int]],
        seed: int,
        gradient: str = "exact",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_positive("dimension", dimension)
        if not shapes:
            raise ValueError("`shapes` must name a tensor to move. Received: none")
        if gradient not in ("exact", "released"):
            raise ValueError(f'`gradient` must be "exact" or "released". Received: {gradient!r}')
        self.dimension = dimension
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.seed = seed
        self.gradient = gradient
        self.projections = [
            FastfoodProjection(prod(shape), seed, tag=name) for name, shape in self.shapes.items()
        ]

    def build(self, input_shape: None = None) -> None:
        self.v = self.add_weight(name="v", shape=(self.dimension,), initializer="zeros")
        self.scales = self.add_weight(name="scales", shape=(len(self.shapes),), initializer="ones")
        for projection in self.projections:
            projection.build((self.dimension,))
        self.built = True

    def call(self, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        moved = dict(tensors)
        v, scales = self.v.value, self.scales.value.unbind()
        named = zip(self.shapes.items(), self.projections, scales, strict=True)
        for (name, shape), projection, scale in named:
            share = 1 / projection.padded if self.gradient == "released" else 1
            # The projection is linear: scaling its input is scaling the tensor, for less.
            delta = projection.call(scale * _giving_back(v, share)).reshape(shape)
            moved[name] = tensors[name] + delta  # float32, whatever the backbone is stored in
        return moved

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"dimension": self.dimension, "shapes": self.shapes, "seed": self.seed})
        config["gradient"] = self.gradient
        return config


def _giving_back(tensor: torch.Tensor, share: float) -> torch.Tensor:
    """The tensor itself, to which only a `share` of its gradient comes back."""
    return tensor if share == 1 else tensor.detach() + share * (tensor - tensor.detach())

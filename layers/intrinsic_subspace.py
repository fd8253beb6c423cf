"""One small trained vector that moves every weight tensor of a model."""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

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

    Attributes:
        v: shape `(dimension,)`.
        scales: shape `(number of tensors,)`, in the order of `shapes`.

    Call arguments:
        tensors: By the names of `shapes`; returned moved, other names untouched.

    Raises:
        ValueError: `dimension` is not a positive integer, or `shapes` is empty.
    """

    v: keras.Variable
    scales: keras.Variable

    def __init__(
        self, dimension: int, shapes: Mapping[str, Iterable[int]], seed: int, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_positive("dimension", dimension)
        if not shapes:
            raise ValueError("`shapes` must name a tensor to move. Received: none")
        self.dimension = dimension
        self.shapes = {name: tuple(shape) for name, shape in shapes.items()}
        self.seed = seed
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
            # The projection is linear: scaling its input is scaling the tensor, for less.
            delta = projection.call(scale * v).reshape(shape)
            moved[name] = tensors[name] + delta  # float32, whatever the backbone is stored in
        return moved

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update({"dimension": self.dimension, "shapes": self.shapes, "seed": self.seed})
        return config

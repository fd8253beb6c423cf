"""Glorot uniform over the last two axes of a stack of matrices."""

import math
from collections.abc import Sequence
from typing import Any, Self

import keras
from compacter_layers.signatures import Tensor


@keras.saving.register_keras_serializable(package="compacter")
class SliceGlorotUniform(keras.initializers.Initializer):
    """Glorot uniform in which every slice of a stack is drawn as a matrix of its own.

    Keras' `GlorotUniform` reads the leading axes of a tensor as a receptive field and divides by
    them. The stacked factors of a hypercomplex layer are n separate matrices; their fans are the
    last two axes alone: limit = gain * sqrt(6 / (rows + columns)).

    Args:
        gain: Factor on the limit; sqrt(2) in the paper's runs.
        seed: An int gives the same values at every call, a generator (or `None`, for a fresh one)
            new values at each.

    Raises:
        ValueError: the shape that is asked for has fewer than two axes.

    Examples:
        >>> SliceGlorotUniform(seed=1)((4, 192, 6)).shape  # n = 4 matrices of 192 x 6
        (4, 192, 6)
    """

    def __init__(
        self, gain: float = math.sqrt(2.0), seed: int | keras.random.SeedGenerator | None = None
    ) -> None:
        self.gain = gain
        self.seed = keras.random.SeedGenerator() if seed is None else seed

    def __call__(self, shape: Sequence[int], dtype: str | None = None) -> Tensor:
        if len(shape) < 2:
            raise ValueError(f"`shape` must have at least two axes. Received: shape={shape}")
        limit = self.gain * math.sqrt(6.0 / (shape[-2] + shape[-1]))
        return keras.random.uniform(shape, -limit, limit, dtype=dtype, seed=self.seed)

    def get_config(self) -> dict[str, Any]:
        return {"gain": self.gain, "seed": keras.saving.serialize_keras_object(self.seed)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(gain=config["gain"], seed=keras.saving.deserialize_keras_object(config["seed"]))

"""A trained low-rank matrix beside a frozen projection."""

from typing import Any, ClassVar

import keras
from compacter_layers.checks import check_positive
from compacter_layers.signatures import InitializerLike, Shape, Tensor
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class LowRankDelta(keras.layers.Layer):
    """`y = scaling x A B`, to be added to `x W` (LoRA, arXiv 2106.09685, section 4.1).

    B is zero at first, and so is y.

    Args:
        units: Output dimension d.
        rank: Rank r of A B.
        scaling: Factor on A B: LoRA's alpha / r, or alpha / sqrt(r) as rsLoRA has it.
        initializer: Initializer of `A`. Default: LoRA's, uniform within 1 / sqrt(k).

    Attributes:
        A: shape `(k, r)`.
        B: shape `(r, d)`.

    Input shape: `(..., k)`. Output shape: `(..., d)`.

    Raises:
        ValueError: `units` or `rank` is not a positive integer.

    Examples:
        >>> LowRankDelta(768, rank=8, scaling=2.0)(keras.ops.ones((2, 768))).shape
        (2, 768)
    """

    kind: ClassVar[str] = "delta"

    A: keras.Variable
    B: keras.Variable

    def __init__(
        self,
        units: int,
        rank: int,
        scaling: float = 1.0,
        initializer: InitializerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_positive("units", units)
        check_positive("rank", rank)
        self.units = units
        self.rank = rank
        self.scaling = scaling
        self.initializer = keras.initializers.get(initializer or lora_initializer())

    def build(self, input_shape: Shape) -> None:
        k, r, d = input_shape[-1], self.rank, self.units
        self.A = self.add_weight(
            name="A", shape=(k, r), initializer=self.initializer, autocast=False
        )
        self.B = self.add_weight(name="B", shape=(r, d), initializer="zeros", autocast=False)
        self.built = True

    def kernel(self) -> Tensor:
        """The delta as one matrix, `(k, d)`."""
        return ops.multiply(ops.matmul(self.A, self.B), self.scaling)

    def call(self, inputs: Tensor) -> Tensor:
        narrow = ops.matmul(inputs, ops.cast(self.A, inputs.dtype))
        wide = ops.matmul(narrow, ops.cast(self.B, inputs.dtype))
        return ops.multiply(wide, self.scaling)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "units": self.units,
                "rank": self.rank,
                "scaling": self.scaling,
                "initializer": keras.initializers.serialize(self.initializer),
            }
        )
        return config


def lora_initializer(seed: int | None = None) -> keras.initializers.Initializer:
    """Uniform within 1 / sqrt(k): Kaiming's with a = sqrt(5), as LoRA's released code has it."""
    return keras.initializers.VarianceScaling(
        1 / 3, mode="fan_in", distribution="uniform", seed=seed
    )

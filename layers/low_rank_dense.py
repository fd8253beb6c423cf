"""Dense layer whose kernel is the product of two thin matrices."""

from typing import Any

import keras
from compacter_layers.bias import add_bias
from compacter_layers.checks import check_positive
from compacter_layers.signatures import InitializerLike, Shape, Tensor
from compacter_layers.slice_glorot_uniform import SliceGlorotUniform
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class LowRankDense(keras.layers.Layer):
    """`y = x (s t) + b`, a kernel of rank r (Adapter-LowRank, paper section 5.1).

    The kernel has shape `(k, d)` but only r(k + d) parameters; it is never built.

    Args:
        units: Output dimension d.
        rank: Rank r of the kernel.
        use_bias: Whether to add `bias`.
        factor_initializer: Initializer of `s` and `t`. Default: `SliceGlorotUniform()`.
        bias_initializer: Initializer of `bias`.

    Attributes:
        s: shape `(k, r)`.
        t: shape `(r, d)`.
        bias: shape `(d,)`, or `None`.

    Input shape: `(..., k)`. Output shape: `(..., d)`.

    Raises:
        ValueError: `units` or `rank` is not a positive integer.

    Examples:
        >>> LowRankDense(24, rank=2)(keras.ops.ones((2, 768))).shape
        (2, 24)
    """

    s: keras.Variable
    t: keras.Variable
    bias: keras.Variable | None

    def __init__(
        self,
        units: int,
        rank: int = 1,
        use_bias: bool = True,
        factor_initializer: InitializerLike | None = None,
        bias_initializer: InitializerLike = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_positive("units", units)
        check_positive("rank", rank)
        self.units = units
        self.rank = rank
        self.use_bias = use_bias
        self.factor_initializer = keras.initializers.get(factor_initializer or SliceGlorotUniform())
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: Shape) -> None:
        self.s = self.add_weight(
            name="s", shape=(input_shape[-1], self.rank), initializer=self.factor_initializer
        )
        self.t = self.add_weight(
            name="t", shape=(self.rank, self.units), initializer=self.factor_initializer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.units,), initializer=self.bias_initializer
            )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        narrow = ops.matmul(inputs, ops.cast(self.s, inputs.dtype))
        outputs = ops.matmul(narrow, ops.cast(self.t, inputs.dtype))
        return add_bias(outputs, self.bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "units": self.units,
                "rank": self.rank,
                "use_bias": self.use_bias,
                "factor_initializer": keras.initializers.serialize(self.factor_initializer),
                "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            }
        )
        return config

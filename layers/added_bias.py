"""A trained bias behind a layer that has none."""

from typing import Any, ClassVar

import keras
from compacter_layers.signatures import InitializerLike, Shape, Tensor
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class AddedBias(keras.layers.Layer):
    """`y = x + b`, zero at first: what BitFit puts behind T5's bias-free layers (section 5.1).

    Args:
        initializer: Initializer of `bias`.

    Attributes:
        bias: shape `(k,)`.

    Input shape: `(..., k)`. Output shape: `(..., k)`.

    Examples:
        >>> AddedBias()(keras.ops.ones((2, 768))).shape
        (2, 768)
    """

    kind: ClassVar[str] = "bias"

    bias: keras.Variable

    def __init__(self, initializer: InitializerLike = "zeros", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Shape) -> None:
        self.bias = self.add_weight(
            name="bias", shape=(input_shape[-1],), initializer=self.initializer
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs + ops.cast(self.bias, inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["initializer"] = keras.initializers.serialize(self.initializer)
        return config

"""A trained factor on every element of a layer's output."""

from typing import Any, ClassVar

import keras
from compacter_layers.signatures import InitializerLike, Shape, Tensor
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class AddedScale(keras.layers.Layer):
    """`y = x * l`, one at first: what IA3 learns (arXiv 2205.05638, section 3.3).

    Args:
        initializer: Initializer of `factor`.

    Attributes:
        factor: l, shape `(k,)`.

    Input shape: `(..., k)`. Output shape: `(..., k)`.

    Examples:
        >>> AddedScale()(keras.ops.ones((2, 768))).shape
        (2, 768)
    """

    kind: ClassVar[str] = "scale"

    factor: keras.Variable

    def __init__(self, initializer: InitializerLike = "ones", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Shape) -> None:
        self.factor = self.add_weight(
            name="factor", shape=(input_shape[-1],), initializer=self.initializer, autocast=False
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        return inputs * ops.cast(self.factor, inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["initializer"] = keras.initializers.serialize(self.initializer)
        return config

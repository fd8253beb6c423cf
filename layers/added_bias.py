"""A trained bias behind a layer that has none."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class AddedBias(keras.layers.Layer):
    """`y = x + b`, zero at first: what BitFit puts behind T5's bias-free layers (section 5.1).

    Args:
        initializer: Keras initializer of `bias`.

    Attributes:
        bias: variable of shape `(k,)`.

    Input shape: `(..., k)`. Output shape: `(..., k)`.

    Example:
        >>> AddedBias()(keras.ops.ones((2, 768))).shape
        (2, 768)
    """

    def __init__(self, initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        self.bias = self.add_weight(
            name="bias", shape=(input_shape[-1],), initializer=self.initializer
        )
        self.built = True

    def call(self, inputs):
        return inputs + ops.cast(self.bias, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config["initializer"] = keras.initializers.serialize(self.initializer)
        return config

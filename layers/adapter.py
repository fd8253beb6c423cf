"""The bottleneck adapter: down-projection, activation, up-projection, residual."""

import keras


@keras.saving.register_keras_serializable(package="compacter")
def gelu_tanh(x):
    """GELU by its tanh approximation, the form T5 and the paper's runs use."""
    return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="compacter")
class Adapter(keras.layers.Layer):
    """`up(activation(down(x))) + x` (paper, equation 2).

    The kind of adapter is the kind of its projections: `keras.layers.Dense` gives Houlsby's,
    `PHMDense` the PHM-adapter, `LPHMDense` with a shared rule Compacter.

    Args:
        down: layer from dimension k to the bottleneck d.
        up: layer from d back to k.
        activation: Keras activation between the two; `gelu_tanh` by default.

    Input shape: `(..., k)`. Output shape: `(..., k)`.

    Raises:
        ValueError: `up` does not return to the input's dimension.

    Example:
        >>> rule = HypercomplexRule(4)
        >>> adapter = Adapter(
        ...     down=LPHMDense(24, n=4, rule=rule), up=LPHMDense(768, n=4, rule=rule)
        ... )
        >>> adapter(keras.ops.ones((2, 768))).shape
        (2, 768)
    """

    def __init__(self, down, up, activation=gelu_tanh, **kwargs):
        super().__init__(**kwargs)
        self.down = down
        self.up = up
        self.activation = keras.activations.get(activation)

    def build(self, input_shape):
        k = input_shape[-1]
        bottleneck_shape = self.down.compute_output_shape(input_shape)
        # A layer that Keras has just restored comes already built.
        for projection, shape in ((self.down, input_shape), (self.up, bottleneck_shape)):
            if not projection.built:
                projection.build(shape)
        returned = self.up.compute_output_shape(bottleneck_shape)[-1]
        if returned != k:
            raise ValueError(
                f"`up` must return to the input's dimension {k}, for the residual. "
                f"Received: `up` with output dimension {returned}"
            )
        self.built = True

    def call(self, inputs):
        return self.up(self.activation(self.down(inputs))) + inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            {
                "down": keras.saving.serialize_keras_object(self.down),
                "up": keras.saving.serialize_keras_object(self.up),
                "activation": keras.activations.serialize(self.activation),
            }
        )
        return config

    @classmethod
    def from_config(cls, config):
        nested = {key: keras.saving.deserialize_keras_object(config[key]) for key in ("down", "up")}
        return cls(**{**config, **nested})

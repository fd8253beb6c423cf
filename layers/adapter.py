"""The bottleneck adapter: down-projection, activation, up-projection, residual."""

from typing import Any, ClassVar, Self

import keras
from compacter_layers.signatures import ActivationLike, Shape, Tensor


@keras.saving.register_keras_serializable(package="compacter")
def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by its tanh approximation, the form that T5 1.1 and the paper's runs use."""
    return keras.activations.gelu(x, approximate=True)


@keras.saving.register_keras_serializable(package="compacter")
class Adapter(keras.layers.Layer):
    """`up(activation(down(x))) + x` (paper, equation 2).

    The kind of adapter is the kind of its projections: `keras.layers.Dense` gives Houlsby's,
    `PHMDense` the PHM-adapter, `LPHMDense` with a shared rule Compacter.

    Args:
        down: From dimension k to the bottleneck d.
        up: From d back to k.
        activation: Activation between the two; `gelu_tanh` by default.

    Input shape: `(..., k)`. Output shape: `(..., k)`.

    Raises:
        ValueError: `up` does not return to the input's dimension.

    Examples:
        >>> rule = HypercomplexRule(4)
        >>> adapter = Adapter(
        ...     down=LPHMDense(24, n=4, rule=rule), up=LPHMDense(768, n=4, rule=rule)
        ... )
        >>> adapter(keras.ops.ones((2, 768))).shape
        (2, 768)
    """

    kind: ClassVar[str] = "bottleneck"

    def __init__(
        self,
        down: keras.layers.Layer,
        up: keras.layers.Layer,
        activation: ActivationLike = gelu_tanh,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.down = down
        self.up = up
        self.activation = keras.activations.get(activation)

    def build(self, input_shape: Shape) -> None:
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

    def call(self, inputs: Tensor) -> Tensor:
        return self.up(self.activation(self.down(inputs))) + inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
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
    def from_config(cls, config: dict[str, Any]) -> Self:
        nested = {key: keras.saving.deserialize_keras_object(config[key]) for key in ("down", "up")}
        return cls(**{**config, **nested})

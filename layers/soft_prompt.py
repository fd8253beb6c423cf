"""Trained vectors put before a sequence of embeddings."""

from typing import Any, ClassVar

import keras
from compacter_layers.checks import check_positive
from compacter_layers.signatures import InitializerLike, Shape, Tensor
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class SoftPrompt(keras.layers.Layer):
    """Prepends `length` trained vectors to every sequence (prompt tuning, paper section 5.1).

    Args:
        length: Number of prompt vectors.
        initializer: Initializer of `prompt`. Default: uniform between -0.5 and 0.5.

    Attributes:
        prompt: shape `(length, k)`.

    Input shape: `(batch, sequence, k)`. Output shape: `(batch, length + sequence, k)`.

    Raises:
        ValueError: `length` is not a positive integer.

    Examples:
        >>> SoftPrompt(100)(keras.ops.ones((2, 128, 768))).shape
        (2, 228, 768)
    """

    kind: ClassVar[str] = "prompt"

    prompt: keras.Variable

    def __init__(
        self, length: int, initializer: InitializerLike | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_positive("length", length)
        self.length = length
        self.initializer = keras.initializers.get(
            initializer or keras.initializers.RandomUniform(-0.5, 0.5)
        )

    def build(self, input_shape: Shape) -> None:
        self.prompt = self.add_weight(
            name="prompt", shape=(self.length, input_shape[-1]), initializer=self.initializer
        )
        self.built = True

    def call(self, inputs: Tensor) -> Tensor:
        prompt = ops.cast(self.prompt, inputs.dtype)
        batch = ops.shape(inputs)[0]  # pyright: ignore[reportOptionalSubscript]  # never None
        shape = (batch, self.length, inputs.shape[-1])
        return ops.concatenate([ops.broadcast_to(prompt, shape), inputs], axis=1)

    def compute_mask(self, inputs: Tensor, previous_mask: Tensor | None) -> Tensor | None:
        """The mask of the sequences, `(batch, sequence)`, with the prompt unmasked before it."""
        if previous_mask is None:
            return None
        prompt = ops.ones_like(previous_mask[:, :1])
        prompt = ops.repeat(prompt, self.length, axis=1)
        return ops.concatenate([prompt, previous_mask], axis=1)

    def compute_output_shape(
        self, input_shape: tuple[int | None, int | None, int]
    ) -> tuple[int | None, int | None, int]:
        batch, sequence, k = input_shape
        return (batch, None if sequence is None else sequence + self.length, k)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "length": self.length,
                "initializer": keras.initializers.serialize(self.initializer),
            }
        )
        return config

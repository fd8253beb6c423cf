"""What the two kinds of prompt tuning share."""

from typing import ClassVar

from pydantic import PositiveInt

from compacter_cli.methods.base import Component, Efficient


class PromptTuning(Efficient):
    """Trained vectors before the encoder's input; the whole model is frozen (section 5.1).

    They come on top of the source length, and positions and mask are extended for them.
    """

    length: PositiveInt = 100
    """Number of prompt vectors."""

    components: ClassVar[dict[str, Component]] = {
        **Efficient.components,
        "prompts": Component("prompt vectors", "prompts"),
    }

    def count_added(self, shape):
        return {"prompts": self.length * shape.hidden_dim}

    def build(self, shape, seed, dtype="float32", weights=None):
        from compacter_layers import SoftPrompt

        prompt = SoftPrompt(self.length, initializer=self.initializer(seed, weights), dtype=dtype)
        prompt.build((None, None, shape.hidden_dim))
        return {"prompt": prompt}

    def initializer(self, seed, weights):
        """Keras initializer of the prompt vectors."""
        raise NotImplementedError

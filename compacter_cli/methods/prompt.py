"""What the two kinds of prompt tuning share."""

from typing import TYPE_CHECKING, ClassVar

from compacter_cli.methods.base import NO_WEIGHTS, Component, Efficient, Layers, Weights
from compacter_cli.section import Dimension
from compacter_cli.t5.shapes import T5Shape

if TYPE_CHECKING:
    from compacter_layers.signatures import InitializerLike


class PromptTuning(Efficient):
    """Trained vectors before the encoder's input; the whole model is frozen (section 5.1).

    They come on top of the source length, and positions and mask are extended for them.
    """

    length: Dimension = 100
    """Number of prompt vectors."""

    components: ClassVar[dict[str, Component]] = {
        **Efficient.components,
        "prompts": Component("prompt vectors", "prompts"),
    }

    def places(self, shape: T5Shape) -> str:
        return f"{self.length} vectors before the first token of every source"

    def count_added(self, shape: T5Shape) -> dict[str, int]:
        return {"prompts": self.length * shape.hidden_dim}

    def build(
        self, shape: T5Shape, seed: int, dtype: str = "float32", weights: Weights = NO_WEIGHTS
    ) -> Layers:
        from compacter_layers import SoftPrompt

        prompt = SoftPrompt(self.length, initializer=self.initializer(seed, weights), dtype=dtype)
        prompt.build((None, None, shape.hidden_dim))
        return {"prompt": prompt}

    def initializer(self, seed: int, weights: Weights) -> "InitializerLike":
        """Initializer of the prompt vectors (length, k)."""
        raise NotImplementedError

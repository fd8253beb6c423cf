"""IA3: learned factors on keys, values and the feed-forward's inner elements (arXiv 2205.05638)."""

from typing import ClassVar, Literal

from compacter_cli.methods.base import NO_WEIGHTS, Component, Efficient, Layers, Weights
from compacter_cli.t5.shapes import T5Shape


class IA3(Efficient):
    """A vector that keys, another that values, a third that inner elements are multiplied by.

    All are one at first. All attentions have their own.
    """

    name: Literal["ia3"] = "ia3"

    title: ClassVar[str] = "IA3"
    learning_rate = 3e-3  # IA3's own paper, T0-3B by Adafactor
    searched_rate = 6.4e-2
    components: ClassVar[dict[str, Component]] = {
        **Efficient.components,
        "scales": Component("scales of keys, values and inner elements", "adapters"),
    }

    def widths(self, shape: T5Shape) -> dict[str, int]:
        """How many numbers each vector multiplies, by its layer's structural name."""
        widths = {}
        for name, (_, width) in shape.projections().items():
            owner, _, role = name.rpartition(".")
            if role in ("key", "value"):
                widths[f"{name}.scale"] = width
            elif role == "input":
                widths[f"{owner}.inner.scale"] = width
        return widths

    def places(self, shape: T5Shape) -> str:
        count = len(self.widths(shape))
        return f"{count} vectors on keys, values and the feed-forward's inside, in all blocks"

    def count_added(self, shape: T5Shape) -> dict[str, int]:
        return {"scales": sum(self.widths(shape).values())}

    def build(
        self, shape: T5Shape, seed: int, dtype: str = "float32", weights: Weights = NO_WEIGHTS
    ) -> Layers:
        from compacter_layers import AddedScale

        layers = {}
        for name, width in self.widths(shape).items():
            layers[name] = AddedScale(dtype=dtype)
            layers[name].build((None, width))
        return layers

"""BitFit: only biases train, and T5 has none, so they are added (section 5.1, footnote 7)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from compacter_cli.methods.base import NO_WEIGHTS, Component, Efficient, Layers, Weights
from compacter_cli.t5.shapes import T5Shape


class BitFit(Efficient):
    """A bias behind every linear layer, every layer norm of a block and the output head.

    All are zero at first. The last norm of either stack has none in the paper's code.
    """

    name: Literal["bitfit"] = "bitfit"
    final_norms: bool = False
    """A bias behind the last norm of either stack too, as the first versions of compacter had."""

    title = "BitFit"
    learning_rate = 3e-4
    searched_rate = 1.6e-2
    unsaid: ClassVar[Mapping[str, Any]] = {"final_norms": True}
    components: ClassVar[dict[str, Component]] = {
        **Efficient.components,
        "linear_biases": Component("biases of linear layers", "biases"),
        "norm_biases": Component("biases of layer norms", "biases"),
        "head_bias": Component("bias of the output head", "biases"),
    }

    def widths(self, shape: T5Shape) -> dict[str, int]:
        """Output width of everything that gets a bias, by structural name."""
        k, projections = shape.hidden_dim, shape.projections()
        widths = {"head": shape.vocabulary_size}
        for stack in ("encoder", "decoder"):
            if self.final_norms:
                widths[f"{stack}.layer_norm"] = k
            for name in (name for name in projections if name.startswith(stack)):
                _, widths[name] = projections[name]
                owner, _, role = name.rpartition(".")
                if role == "output":  # a sub-layer's last, whose norm comes after it
                    widths[f"{owner}.layer_norm"] = k
        return widths

    def places(self, shape: T5Shape) -> str:
        count = len(self.widths(shape))
        return f"{count} biases behind the linear layers and norms of all blocks, and the head"

    def count_added(self, shape: T5Shape) -> dict[str, int]:
        widths = self.widths(shape)
        norms = sum(width for name, width in widths.items() if name.endswith("layer_norm"))
        head = widths["head"]
        return {
            "linear_biases": sum(widths.values()) - norms - head,
            "norm_biases": norms,
            "head_bias": head,
        }

    def build(
        self, shape: T5Shape, seed: int, dtype: str = "float32", weights: Weights = NO_WEIGHTS
    ) -> Layers:
        from compacter_layers import AddedBias

        layers = {}
        for name, width in self.widths(shape).items():
            layers[name] = AddedBias(dtype=dtype)
            layers[name].build((None, width))
        return layers

"""What the adapter methods share: where bottlenecks sit and what trains beside them."""

from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from compacter_cli.errors import Problem, counted
from compacter_cli.methods.base import (
    NO_WEIGHTS,
    Component,
    Efficient,
    Layer,
    Layers,
    Weights,
)
from compacter_cli.section import CountFromZero, Dimension, seed_of
from compacter_cli.t5.shapes import T5Shape

if TYPE_CHECKING:
    import keras
    from compacter_layers import HypercomplexRule

Activation = Literal[
    "gelu_tanh", "gelu", "relu", "relu6", "silu", "tanh", "sigmoid", "elu", "selu",
    "leaky_relu", "softplus", "softsign", "mish", "hard_sigmoid", "hard_silu", "linear",
]  # fmt: skip
After = Literal["both", "self_attention", "cross_attention", "feed_forward", "all"]
SUBLAYERS = "self_attention", "cross_attention", "feed_forward"  # in the order of the forward pass
Placement = Literal["parallel", "after_residual"]
NAMES = {None: "adapter", "parallel": "parallel_adapter", "after_residual": "residual_adapter"}
WHERE = {
    None: "behind",
    "parallel": "beside",
    "after_residual": "behind the residual sums of",
}
SeedGenerator: TypeAlias = "keras.random.SeedGenerator"
Rule: TypeAlias = "HypercomplexRule | None"


class Bottleneck(Efficient):
    """A bottleneck adapter on a sub-layer's output, before its dropout and residual.

    All layer norms train with it; embeddings and output head stay frozen (paper, section 5).
    """

    bottleneck: Dimension = 24
    """Bottleneck dimension d; the paper tries 96, 48 and 24."""
    activation: Activation = "gelu_tanh"
    """Activation between the two projections."""
    after: After = "both"
    """Which sub-layers get an adapter: self_attention, feed_forward or both of them, which is the
    paper's; cross_attention, which decoder blocks have, or all."""
    placement: Placement | None = None
    """Where it stands: behind the sub-layer by default; parallel is beside it, on the normed input
    that the sub-layer has too (arXiv 2110.04366, section 3.3); after_residual is behind the sum of
    the sub-layer and its residual, as in AdapterHub's Compacter++ and Pfeiffer adapters."""
    dropped_blocks: CountFromZero = 0
    """How many of the lowest blocks of either stack get no adapter."""
    train_layer_norms: bool = True
    """Train the weights of all layer norms, as the paper does."""

    prefixes_task = False
    components: ClassVar[dict[str, Component]] = {
        **Efficient.components,
        "adapters": Component("adapter weights", "adapters"),
        "rule": Component("rule A", "rule A"),
        "biases": Component("adapter biases", "biases"),
    }

    @property
    def trains(self) -> tuple[str, ...]:
        return (*(("*.layer_norm",) if self.train_layer_norms else ()), *super().trains)

    @property
    def sublayers(self) -> tuple[str, ...]:
        """The sub-layers that get an adapter, in the order of the forward pass."""
        if self.after == "both":
            return "self_attention", "feed_forward"
        return SUBLAYERS if self.after == "all" else (self.after,)

    def problems(self, shape: T5Shape) -> list[Problem]:
        if self.dropped_blocks < shape.num_layers:
            return []
        return [
            Problem(
                "method.dropped_blocks",
                f"must be less than the {counted(shape.num_layers, 'block')} of a stack, or no "
                f"adapter is left. Received: {self.dropped_blocks}",
                f"set it to {shape.num_layers - 1} or less",
                short=f"{self.dropped_blocks} of {counted(shape.num_layers, 'block')} dropped",
            )
        ]

    def sites(self, shape: T5Shape) -> list[str]:
        """Structural names of the sub-layers that get an adapter."""
        return [
            f"{stack}.{block}.{sublayer}"
            for stack in ("encoder", "decoder")
            for block in range(self.dropped_blocks, shape.num_layers)
            for sublayer in self.sublayers
            if stack == "decoder" or sublayer != "cross_attention"
        ]

    def places(self, shape: T5Shape) -> str:
        sublayers = " and ".join(name.replace("_", "-") for name in self.sublayers)
        last, first = shape.num_layers - 1, self.dropped_blocks
        blocks = f"blocks {first} to {last}" if first < last else f"block {last}"
        stacks = "the decoder" if self.after == "cross_attention" else "encoder and decoder"
        where = WHERE[self.placement]
        adapters = counted(len(self.sites(shape)), "adapter")
        return f"{adapters} {where} {sublayers}, in {blocks} of {stacks}"

    def count_added(self, shape: T5Shape) -> dict[str, int]:
        k, d = shape.hidden_dim, self.bottleneck
        adapters = len(self.sites(shape))
        return {
            "adapters": adapters * self.projection_weights(k, d),
            "rule": self.rule_weights(shape),
            "biases": adapters * (k + d),
            "layer_norms": shape.layer_norm_parameters if self.train_layer_norms else 0,
        }

    def projection_weights(self, k: int, d: int) -> int:
        """Weights of one adapter's two projections, without biases and the rule."""
        raise NotImplementedError

    def rule_weights(self, shape: T5Shape) -> int:
        """Weights of all hypercomplex rules together."""
        return 0

    def closed_form(self, shape: T5Shape) -> int:
        projections = self.projection_weights(shape.hidden_dim, self.bottleneck)
        return len(self.sites(shape)) * projections + self.rule_weights(shape)

    def build(
        self, shape: T5Shape, seed: int, dtype: str = "float32", weights: Weights = NO_WEIGHTS
    ) -> Layers:
        import keras
        from compacter_layers import Adapter, gelu_tanh

        rule = self.shared_rule(seed, dtype)
        layers: Layers = {} if rule is None else {"rule": rule}
        activation = gelu_tanh if self.activation == "gelu_tanh" else self.activation
        for site in self.sites(shape):
            name = f"{site}.{NAMES[self.placement]}"
            generator = keras.random.SeedGenerator(seed_of(seed, name))
            adapter = Adapter(
                down=self.projection(self.bottleneck, generator, dtype, rule),
                up=self.projection(shape.hidden_dim, generator, dtype, rule),
                activation=activation,
                dtype=dtype,
            )
            adapter.build((None, shape.hidden_dim))
            layers[name] = adapter
        return layers

    def shared_rule(self, seed: int, dtype: str) -> Rule:
        """The hypercomplex rule that all adapters share, if there is one."""
        return None

    def projection(self, units: int, generator: SeedGenerator, dtype: str, rule: Rule) -> Layer:
        """One projection to `units` dimensions, its values drawn from `generator`.

        `rule` is what `shared_rule` gave.
        """
        raise NotImplementedError

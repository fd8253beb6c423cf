"""What the methods share that add a trained matrix to weights of the frozen backbone."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from compacter_cli.errors import Problem
from compacter_cli.methods.base import (
    NO_WEIGHTS,
    Component,
    Efficient,
    Layer,
    Layers,
    Weights,
)
from compacter_cli.methods.bottleneck import Rule
from compacter_cli.section import seed_of
from compacter_cli.t5.shapes import T5Shape

Projection = Literal[
    "query", "key", "value", "output",
    "feed_forward.input", "feed_forward.gate", "feed_forward.output",
]  # fmt: skip


class Delta(Efficient):
    """A matrix added to the weight of some projections, zero at first; all else stays frozen.

    It is kept apart in training, and its product with the input added to the weight's.
    """

    projections: Annotated[list[Projection], Field(min_length=1)] = Field(
        default_factory=lambda: ["query", "value"]
    )
    """Which projections: query, key, value and output of all attentions, and the feed-forward's."""

    components: ClassVar[dict[str, Component]] = {
        **Efficient.components,
        "deltas": Component("weights of deltas", "adapters"),
        "rule": Component("rule A", "rule A"),
    }

    def sites(self, shape: T5Shape) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of the projections that are changed, by structural name."""
        return {
            name: sizes
            for name, sizes in shape.projections().items()
            if role_of(name) in self.projections
        }

    def places(self, shape: T5Shape) -> str:
        roles, count = ", ".join(self.projections), len(self.sites(shape))
        return f"{count} matrices beside the weights of {roles}, in all blocks"

    def sizes(self, shape: T5Shape) -> dict[int, str]:
        """Every number of inputs or outputs of what is changed, and a projection that has it."""
        return {size: name for name, pair in self.sites(shape).items() for size in pair}

    def problems(self, shape: T5Shape) -> list[Problem]:
        if shape.gated or "feed_forward.gate" not in self.projections:
            return []
        return [
            Problem(
                "method.projections",
                "this backbone's feed-forward has no gate",
                "leave feed_forward.gate out",
                short="no gate",
            )
        ]

    def count_added(self, shape: T5Shape) -> dict[str, int]:
        deltas = sum(self.delta_weights(k, d) for k, d in self.sites(shape).values())
        return {"deltas": deltas, "rule": self.rule_weights()}

    def delta_weights(self, k: int, d: int) -> int:
        """Weights of the delta of a projection of k inputs to d outputs, a shared rule left out."""
        raise NotImplementedError

    def rule_weights(self) -> int:
        """Weights of the rule that all share."""
        return 0

    def build(
        self, shape: T5Shape, seed: int, dtype: str = "float32", weights: Weights = NO_WEIGHTS
    ) -> Layers:
        rule = self.shared_rule(seed, dtype)
        layers: Layers = {} if rule is None else {"rule": rule}
        for site, (k, d) in self.sites(shape).items():
            name = f"{site}.delta"
            layers[name] = self.delta(k, d, seed_of(seed, name), dtype, rule)
            layers[name].build((None, k))
        return layers

    def shared_rule(self, seed: int, dtype: str) -> Rule:
        """The hypercomplex rule that all deltas share, if there is one."""
        return None

    def delta(self, k: int, d: int, seed: int, dtype: str, rule: Rule) -> Layer:
        """The delta of a projection of k inputs to d outputs, its values drawn from `seed`.

        `rule` is what `shared_rule` gave.
        """
        raise NotImplementedError


def role_of(name: str) -> str:
    """What a recipe calls the projection of a structural name."""
    _, _, sublayer, role = name.split(".")
    return f"{sublayer}.{role}" if sublayer == "feed_forward" else role

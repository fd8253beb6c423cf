"""Intrinsic-SAID: all weights move inside one small random subspace (section 5.1)."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from compacter_cli.errors import Problem
from compacter_cli.methods.base import NO_WEIGHTS, Component, Efficient, Layers, Weights
from compacter_cli.section import Count, seed_of
from compacter_cli.t5.shapes import T5Shape


class SAID(Efficient):
    """theta_i = theta_i,0 + lambda_i P_i(v) for every weight tensor i of the backbone.

    d' counts the m scales lambda (one a tensor) and the d' - m entries of v. The projections P_i
    are Fastfood transforms drawn from the run's seed, and drawn again on loading: an adapter file
    holds d' numbers.
    """

    name: Literal["said"] = "said"
    intrinsic_dim: Count = 20_000
    """d', the number of trained parameters, the scales included."""
    gradient: Literal["exact", "released"] = "exact"
    """released is what the paper's code computes: each weight tensor's part of v's gradient is
    divided by its number of entries, rounded up to a power of two, so that small tensors lead.
    Nothing else differs."""

    title = "Intrinsic-SAID"
    learning_rate = 3e-2
    searched_rate = 4e-3
    unsaid: ClassVar[Mapping[str, Any]] = {"gradient": "exact"}
    components: ClassVar[dict[str, Component]] = {
        **Efficient.components,
        "subspace": Component("subspace vector", "subspace"),
        "scales": Component("scales, one a weight tensor", "subspace"),
    }

    def problems(self, shape: T5Shape) -> list[Problem]:
        key, tensors, parameters = "method.intrinsic_dim", shape.weight_tensors, shape.parameters()
        if self.intrinsic_dim > parameters:
            message = f"d' = {self.intrinsic_dim} is more than the backbone's {parameters} weights"
            return [Problem(key, message, "set it to far less", short=f"d' > {parameters}")]
        if self.intrinsic_dim > tensors:
            return []
        return [
            Problem(
                key,
                f"d' = {self.intrinsic_dim} must be more than the backbone's {tensors} weight "
                "tensors, whose scales it counts",
                f"set it to {tensors + 1} or more",
                short=f"d' <= {tensors}",
            )
        ]

    def places(self, shape: T5Shape) -> str:
        return f"an offset of all {shape.weight_tensors} weight tensors, out of one subspace"

    def count_added(self, shape: T5Shape) -> dict[str, int]:
        return {
            "subspace": self.intrinsic_dim - shape.weight_tensors,
            "scales": shape.weight_tensors,
        }

    def build(
        self, shape: T5Shape, seed: int, dtype: str = "float32", weights: Weights = NO_WEIGHTS
    ) -> Layers:
        from compacter_layers import IntrinsicSubspace

        sizes = {name: tuple(variable.shape) for name, variable in weights.items()}
        subspace = IntrinsicSubspace(
            self.intrinsic_dim - len(sizes),
            sizes,
            seed=seed_of(seed, "said"),
            gradient=self.gradient,
        )
        subspace.build()
        return {"said": subspace}

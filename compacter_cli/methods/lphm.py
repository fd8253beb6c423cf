"""LPHM on weights: the paper's low-rank hypercomplex matrix as a change of projections."""

from typing import ClassVar, Literal

from compacter_cli.errors import Problem
from compacter_cli.methods.base import Layer
from compacter_cli.methods.bottleneck import Rule
from compacter_cli.methods.delta import Delta
from compacter_cli.methods.hypercomplex import indivisible
from compacter_cli.section import Dimension, seed_of
from compacter_cli.t5.shapes import T5Shape


class LPHM(Delta):
    """W + sum_i A_i kron (s_i t_i), one rule A for the model: r (k + d) weights a projection.

    KAdaptation's form (arXiv 2203.16329) of the paper's equation 5. t is zero at first.
    """

    name: Literal["lphm"] = "lphm"
    n: Dimension = 4
    """Hypercomplex division; it must divide the inputs and outputs of what is changed."""
    rank: Dimension = 1
    """Rank r of each B_i = s_i t_i."""

    title: ClassVar[str] = "LPHM on weights"
    learning_rate = 3e-3  # as the paper's for its adapters of the same factors
    searched_rate = 4e-3

    def problems(self, shape: T5Shape) -> list[Problem]:
        divided = [
            ("method.n", f"the inputs and outputs of {name}", size)
            for size, name in self.sizes(shape).items()
        ]
        return [*super().problems(shape), *indivisible(self.n, divided)]

    def delta_weights(self, k: int, d: int) -> int:
        return self.rank * (k + d)

    def rule_weights(self) -> int:
        return self.n**3

    def shared_rule(self, seed: int, dtype: str) -> Rule:
        from compacter_layers import HypercomplexRule
        from compacter_layers.lphm_delta import rule_initializer

        initializer = rule_initializer(self.n, seed_of(seed, "rule"))
        return HypercomplexRule(self.n, initializer=initializer, dtype=dtype)

    def delta(self, k: int, d: int, seed: int, dtype: str, rule: Rule) -> Layer:
        from compacter_layers import LPHMDelta, SliceGlorotUniform

        initializer = SliceGlorotUniform(seed=seed)
        return LPHMDelta(d, self.n, self.rank, rule, initializer, dtype=dtype)

"""Adapter-LowRank: each projection is a product of two thin matrices (section 5.1)."""

from typing import Literal

from compacter_cli.methods.base import Layer
from compacter_cli.methods.bottleneck import Bottleneck, Rule, SeedGenerator
from compacter_cli.section import Dimension


class LowRank(Bottleneck):
    """Dense adapters of rank r: 4L r (k + d) weights for L blocks of both stacks."""

    name: Literal["lowrank"] = "lowrank"
    rank: Dimension = 1
    """Rank r of each projection."""

    title = "Adapter-LowRank"
    learning_rate = 3e-3
    searched_rate = 4e-3

    def projection_weights(self, k: int, d: int) -> int:
        return 2 * self.rank * (k + d)

    def projection(self, units: int, generator: SeedGenerator, dtype: str, rule: Rule) -> Layer:
        from compacter_layers import LowRankDense, SliceGlorotUniform

        initializer = SliceGlorotUniform(seed=generator)
        return LowRankDense(units, self.rank, factor_initializer=initializer, dtype=dtype)

"""LoRA: a low-rank matrix added to frozen projections (arXiv 2106.09685)."""

from typing import ClassVar, Literal

from pydantic import Field

from compacter_cli.methods.base import Layer
from compacter_cli.methods.bottleneck import Rule
from compacter_cli.methods.delta import Delta
from compacter_cli.section import Dimension


class LoRA(Delta):
    """W + (alpha / r) A B of rank r; A random, B zero at first. r (k + d) weights a projection."""

    name: Literal["lora"] = "lora"
    rank: Dimension = 8
    """Rank r of A B."""
    alpha: float = Field(16.0, gt=0)
    """The factor on A B is alpha / r."""
    rank_stabilized: bool = False
    """The factor is alpha / sqrt(r) instead, as in rsLoRA (arXiv 2312.03732)."""

    title: ClassVar[str] = "LoRA"
    learning_rate = 5e-4  # LoRA's own paper on RTE, RoBERTa-base (its Table 9)
    searched_rate = 4e-3

    @property
    def scaling(self) -> float:
        """The factor on A B."""
        return self.alpha / (self.rank**0.5 if self.rank_stabilized else self.rank)

    def delta_weights(self, k: int, d: int) -> int:
        return self.rank * (k + d)

    def delta(self, k: int, d: int, seed: int, dtype: str, rule: Rule) -> Layer:
        from compacter_layers import LowRankDelta
        from compacter_layers.low_rank_delta import lora_initializer

        return LowRankDelta(d, self.rank, self.scaling, lora_initializer(seed), dtype=dtype)

"""PHM-Adapter: bottlenecks of PHM layers, each with a rule of its own (sections 3.1 and 5.2)."""

from typing import Literal

from compacter_cli.methods.base import Layer
from compacter_cli.methods.bottleneck import Rule, SeedGenerator
from compacter_cli.methods.hypercomplex import Hypercomplex
from compacter_cli.t5.shapes import T5Shape


class PHM(Hypercomplex):
    """Hypercomplex projections of full rank: 4L(kd/n + n^3) weights (section 4)."""

    name: Literal["phm"] = "phm"

    title = "PHM-Adapter"

    def projection_weights(self, k: int, d: int) -> int:
        return 2 * (k * d // self.n)

    def rule_weights(self, shape: T5Shape) -> int:
        return 2 * len(self.sites(shape)) * self.n**3

    def projection(self, units: int, generator: SeedGenerator, dtype: str, rule: Rule) -> Layer:
        import keras
        from compacter_layers import HypercomplexRule, PHMDense, SliceGlorotUniform

        normal = keras.initializers.RandomNormal(stddev=0.01, seed=generator)
        own = HypercomplexRule(self.n, initializer=normal, dtype=dtype)
        initializer = SliceGlorotUniform(seed=generator)
        return PHMDense(units, self.n, rule=own, factor_initializer=initializer, dtype=dtype)

"""PHM-Adapter: bottlenecks of PHM layers, each with a rule of its own (sections 3.1 and 5.2)."""

from typing import Literal

from compacter_cli.methods.hypercomplex import Hypercomplex


class PHM(Hypercomplex):
    """Hypercomplex projections of full rank: 4L(kd/n + n^3) weights (section 4)."""

    name: Literal["phm"] = "phm"

    title = "PHM-Adapter"

    def projection_weights(self, k, d):
        return 2 * (k * d // self.n)

    def rule_weights(self, shape):
        return 2 * len(self.sites(shape)) * self.n**3

    def projection(self, units, generator, dtype):
        import keras
        from compacter_layers import HypercomplexRule, PHMDense, SliceGlorotUniform

        normal = keras.initializers.RandomNormal(stddev=0.01, seed=generator)
        rule = HypercomplexRule(self.n, initializer=normal, dtype=dtype)
        initializer = SliceGlorotUniform(seed=generator)
        return PHMDense(units, self.n, rule=rule, factor_initializer=initializer, dtype=dtype)

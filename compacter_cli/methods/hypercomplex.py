"""What the methods with Kronecker-factored projections share: n, and that it must divide."""

from collections.abc import Sequence
from math import gcd

from compacter_cli.errors import Problem
from compacter_cli.methods.base import Layer
from compacter_cli.methods.bottleneck import Bottleneck, Rule, SeedGenerator
from compacter_cli.section import Dimension, seed_of
from compacter_cli.t5.shapes import T5Shape


class Hypercomplex(Bottleneck):
    """A bottleneck whose projections are sums of n Kronecker products."""

    n: Dimension = 4
    """Hypercomplex division; the paper tries 4, 8 and 12. It must divide d and k."""

    learning_rate = 3e-3
    searched_rate = 4e-3

    def problems(self, shape: T5Shape) -> list[Problem]:
        k, d = shape.hidden_dim, self.bottleneck
        divided = (
            ("method.bottleneck", "the bottleneck d", d),
            ("method.n", "the backbone's hidden dimension k", k),
        )
        return [*super().problems(shape), *indivisible(self.n, divided)]


class LowRankHypercomplex(Hypercomplex):
    """Hypercomplex projections of rank-r factors, with one rule for the whole model."""

    rank: Dimension = 1
    """Rank r of each B_i = s_i t_i (equation 5)."""

    def projection_weights(self, k: int, d: int) -> int:
        return 2 * self.rank * (k + d)

    def rule_weights(self, shape: T5Shape) -> int:
        return self.n**3

    def shared_rule(self, seed: int, dtype: str) -> Rule:
        import keras
        from compacter_layers import HypercomplexRule

        initializer = keras.initializers.RandomNormal(stddev=1e-4, seed=seed_of(seed, "rule"))
        return HypercomplexRule(self.n, initializer=initializer, dtype=dtype)

    def projection(self, units: int, generator: SeedGenerator, dtype: str, rule: Rule) -> Layer:
        from compacter_layers import LPHMDense, SliceGlorotUniform

        initializer = SliceGlorotUniform(seed=generator)
        return LPHMDense(
            units, self.n, self.rank, rule=rule, factor_initializer=initializer, dtype=dtype
        )


def indivisible(n: int, divided: Sequence[tuple[str, str, int]]) -> list[Problem]:
    """A `Problem` for each of `divided` - a key, words and a value - that `n` does not divide."""
    hint = f"n can be {', '.join(map(str, _divisors(gcd(*(v for *_, v in divided)))))} here"
    return [
        Problem(
            key,
            f"n must divide {what}: {value} % {n} = {value % n}",
            hint,
            short=f"{value} % {n}",
        )
        for key, what, value in divided
        if value % n
    ]


def _divisors(value: int) -> list[int]:
    return [n for n in range(1, value + 1) if value % n == 0]

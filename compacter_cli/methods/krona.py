"""KronA: one Kronecker product added to frozen projections (arXiv 2212.10650)."""

from math import isqrt
from typing import ClassVar, Literal

from pydantic import Field

from compacter_cli.errors import Problem
from compacter_cli.methods.base import Layer
from compacter_cli.methods.bottleneck import Rule
from compacter_cli.methods.delta import Delta
from compacter_cli.section import Dimension
from compacter_cli.t5.shapes import T5Shape


class KronA(Delta):
    """W + s (A kron B), A (a, c) random, B (k/a, d/c) zero at first; its rank may be full."""

    name: Literal["krona"] = "krona"
    factor: Dimension | None = None
    """Rows a and columns c of A. By default the largest divisors of k and d up to their roots."""
    scaling: float = Field(1.0, gt=0)
    """The factor s on the product."""

    title: ClassVar[str] = "KronA"
    learning_rate = 4e-3  # KronA's own could not be read: what a search chose for dense adapters
    searched_rate = 1.6e-2

    def problems(self, shape: T5Shape) -> list[Problem]:
        found = super().problems(shape)
        return found + [
            Problem(
                "method.factor",
                f"must divide the inputs and outputs of {name}: {size} % {self.factor} = "
                f"{size % self.factor}",
                "leave it out",
                short=f"{size} % {self.factor}",
            )
            for size, name in self.sizes(shape).items()
            if self.factor and size % self.factor
        ]

    def delta_weights(self, k: int, d: int) -> int:
        a, c = self._factors(k, d)
        return a * c + (k // a) * (d // c)

    def _factors(self, k: int, d: int) -> tuple[int, int]:
        return self.factor or _near_root(k), self.factor or _near_root(d)

    def delta(self, k: int, d: int, seed: int, dtype: str, rule: Rule) -> Layer:
        import keras
        from compacter_layers import KroneckerDelta

        rows, columns = self._factors(k, d)
        initializer = keras.initializers.GlorotUniform(seed=seed)
        return KroneckerDelta(d, rows, columns, self.scaling, initializer, dtype=dtype)


def _near_root(value: int) -> int:
    """The largest divisor of `value` that is not above its square root."""
    return next(n for n in range(isqrt(value), 0, -1) if value % n == 0)

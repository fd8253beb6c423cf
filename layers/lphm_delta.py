"""A trained low-rank hypercomplex matrix beside a frozen projection."""

from typing import Any, ClassVar

import keras
from compacter_layers.checks import check_divisible, check_positive
from compacter_layers.hypercomplex_rule import HypercomplexRule, resolve_rule, serialize_rule
from compacter_layers.lphm_dense import mixed_factor
from compacter_layers.phm_dense import kronecker_sum
from compacter_layers.signatures import InitializerLike, Shape, Tensor
from compacter_layers.slice_glorot_uniform import SliceGlorotUniform
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class LPHMDelta(keras.layers.Layer):
    """`y = x sum_i A_i kron (s_i t_i)`, to be added to `x W` (paper, equation 5).

    The form of KAdaptation (arXiv 2203.16329): the paper's LPHM as a change of a weight, with one
    rule A for all of them where they share it. t is zero at first, and so is y.

    Args:
        units: Output dimension d, divisible by `n`.
        n: The hypercomplex division.
        rank: Rank r of each s_i t_i.
        rule: What gives A, of the same n; `None` for one of the layer's own (normal, standard
            deviation 1 / n).
        factor_initializer: Initializer of `s`. Default: `SliceGlorotUniform()`.

    Attributes:
        s: shape `(n, k/n, r)`.
        t: shape `(n, r, d/n)`.

    Input shape: `(..., k)` with k divisible by `n`. Output shape: `(..., d)`.

    Raises:
        ValueError: `n`, `rank` or `units` is not a positive integer, `n` does not divide `units`
            or the input dimension k, or `rule` has another n.

    Examples:
        >>> LPHMDelta(768, n=4)(keras.ops.ones((2, 768))).shape
        (2, 768)
    """

    kind: ClassVar[str] = "delta"

    s: keras.Variable
    t: keras.Variable

    def __init__(
        self,
        units: int,
        n: int,
        rank: int = 1,
        rule: HypercomplexRule | dict[str, Any] | None = None,
        factor_initializer: InitializerLike | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_positive("n", n)
        check_positive("rank", rank)
        check_positive("units", units)
        check_divisible("units", units, n)
        self.units = units
        self.n = n
        self.rank = rank
        own = rule_initializer(n)
        self.rule = resolve_rule(rule, n, self.dtype_policy, initializer=own)
        self.factor_initializer = keras.initializers.get(factor_initializer or SliceGlorotUniform())

    def build(self, input_shape: Shape) -> None:
        k, n, r = input_shape[-1], self.n, self.rank
        check_divisible("k", k, n)
        self.s = self.add_weight(
            name="s", shape=(n, k // n, r), initializer=self.factor_initializer, autocast=False
        )
        self.t = self.add_weight(
            name="t", shape=(n, r, self.units // n), initializer="zeros", autocast=False
        )
        self.built = True

    def kernel(self) -> Tensor:
        """The delta as one matrix, `(k, d)`."""
        return kronecker_sum(self.rule.A, ops.matmul(self.s, self.t))

    def factors(self) -> tuple[Tensor, Tensor]:
        """Two thin matrices whose product is `kernel`, `(k, n n r)` and `(n n r, d)`.

        The first takes each of the n parts of an input through every s_i, the second has A mixed
        into every t_i.
        """
        n, r = self.n, self.rank
        p = self.s.shape[1]
        first = ops.einsum("ab,ipr->apbir", ops.eye(n, dtype=self.s.dtype), self.s)
        return ops.reshape(first, (n * p, n * n * r)), mixed_factor(self.rule.A, self.t)

    def call(self, inputs: Tensor) -> Tensor:
        first, second = (ops.cast(factor, inputs.dtype) for factor in self.factors())
        return ops.matmul(ops.matmul(inputs, first), second)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "units": self.units,
                "n": self.n,
                "rank": self.rank,
                "rule": serialize_rule(self.rule),
                "factor_initializer": keras.initializers.serialize(self.factor_initializer),
            }
        )
        return config


def rule_initializer(n: int, seed: int | None = None) -> keras.initializers.Initializer:
    """The initializer of a rule of deltas: normal with standard deviation 1 / n.

    An input is then mixed to numbers of about its own size, as LoRA's first factor does. The 1e-4
    of Compacter's rule keeps its adapters near zero at first, which here t does.
    """
    return keras.initializers.RandomNormal(stddev=1 / n, seed=seed)

"""Dense layer whose kernel is a sum of Kronecker products with low-rank factors."""

from typing import Any

import keras
from compacter_layers.bias import add_bias
from compacter_layers.checks import check_divisible, check_positive
from compacter_layers.hypercomplex_rule import HypercomplexRule, resolve_rule, serialize_rule
from compacter_layers.phm_dense import kronecker_sum
from compacter_layers.signatures import InitializerLike, Shape, Tensor
from compacter_layers.slice_glorot_uniform import SliceGlorotUniform
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class LPHMDense(keras.layers.Layer):
    """Low-rank parameterized hypercomplex multiplication, `y = x W + b` (paper, equation 5).

    `W = sum_i A_i kron (s_i t_i)` has shape `(k, d)` but only r(k + d) + n^3 parameters, the n^3
    of `A` being shared where a `rule` is.

    Args:
        units: Output dimension d, divisible by `n`.
        n: The hypercomplex division.
        rank: Rank r of each B_i = s_i t_i.
        rule: What gives A, of the same n; `None` for one of the layer's own (normal, standard
            deviation 0.0001).
        use_bias: Whether to add `bias`.
        contract: `True` multiplies the input by the factors one after another and never builds W;
            `False` builds W; the results agree to rounding. `None` contracts where it was measured
            to be faster: on a CPU under torch, when the larger of k and d is at least 768 and the
            smaller at least 6 n.
        factor_initializer: Initializer of `s` and `t`. Default: `SliceGlorotUniform()`.
        bias_initializer: Initializer of `bias`.

    Attributes:
        s: shape `(n, k/n, r)`.
        t: shape `(n, r, d/n)`.
        bias: shape `(d,)`, or `None`.

    Input shape: `(..., k)` with k divisible by `n`. Output shape: `(..., d)`.

    Raises:
        ValueError: `n`, `rank` or `units` is not a positive integer, `n` does not divide `units`
            or the input dimension k, or `rule` has another n.

    Examples:
        >>> LPHMDense(24, n=4)(keras.ops.ones((2, 768))).shape
        (2, 24)
    """

    s: keras.Variable
    t: keras.Variable
    bias: keras.Variable | None

    def __init__(
        self,
        units: int,
        n: int,
        rank: int = 1,
        rule: HypercomplexRule | dict[str, Any] | None = None,
        use_bias: bool = True,
        contract: bool | None = None,
        factor_initializer: InitializerLike | None = None,
        bias_initializer: InitializerLike = "zeros",
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
        self.rule = resolve_rule(rule, n, self.dtype_policy)
        self.use_bias = use_bias
        self.contract = contract
        self.factor_initializer = keras.initializers.get(factor_initializer or SliceGlorotUniform())
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: Shape) -> None:
        k, n = input_shape[-1], self.n
        check_divisible("k", k, n)
        self.s = self.add_weight(
            name="s",
            shape=(n, k // n, self.rank),
            initializer=self.factor_initializer,
            autocast=False,
        )
        self.t = self.add_weight(
            name="t",
            shape=(n, self.rank, self.units // n),
            initializer=self.factor_initializer,
            autocast=False,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.units,), initializer=self.bias_initializer
            )
        self.built = True

    def kernel(self) -> Tensor:
        """W, of shape `(k, d)`: the sum over i of A_i kron (s_i t_i)."""
        return kronecker_sum(self.rule.A, ops.matmul(self.s, self.t))

    def call(self, inputs: Tensor) -> Tensor:
        if self.contracts(inputs.shape[-1], getattr(inputs, "is_cpu", False)):
            outputs = self._contracted(inputs)
        else:
            outputs = ops.matmul(inputs, ops.cast(self.kernel(), inputs.dtype))
        return add_bias(outputs, self.bias)

    def contracts(self, k: int, on_cpu: bool) -> bool:
        """Whether inputs of dimension k, on a CPU under torch or not, meet the factors alone."""
        if self.contract is not None:
            return self.contract
        d = self.units
        return on_cpu and max(k, d) >= 768 and min(k, d) >= 6 * self.n

    def _contracted(self, inputs: Tensor) -> Tensor:
        # With x split into n parts x_a, y_c = sum_{i,r} (sum_a x_a s_ir A_iac) t_ir. The first
        # product is taken over all i and r at once; A and t merge into one small matrix.
        n, p, r = self.n, inputs.shape[-1] // self.n, self.rank
        s = ops.reshape(ops.transpose(ops.cast(self.s, inputs.dtype), (1, 0, 2)), (p, n * r))
        mixed = ops.cast(mixed_factor(self.rule.A, self.t), inputs.dtype)
        parts = ops.matmul(ops.reshape(inputs, (-1, p)), s)  # (batch * n, n r)
        outputs = ops.matmul(ops.reshape(parts, (-1, n * n * r)), mixed)
        shape = ops.shape(inputs)[:-1]  # pyright: ignore[reportOptionalSubscript]  # never None
        return ops.reshape(outputs, (*shape, self.units))

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
                "use_bias": self.use_bias,
                "contract": self.contract,
                "factor_initializer": keras.initializers.serialize(self.factor_initializer),
                "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            }
        )
        return config


def mixed_factor(a: Tensor, t: Tensor) -> Tensor:
    """A mixed into every t_i, for `a` (n, n, n) and `t` (n, r, q): shape (n n r, n q).

    Its rows are by the part of an input, i and r.
    """
    n, r, q = t.shape
    return ops.reshape(ops.einsum("iac,irq->aircq", a, t), (n * n * r, n * q))

"""Dense layer whose kernel is a sum of Kronecker products."""

from typing import Any

import keras
from compacter_layers.bias import add_bias
from compacter_layers.checks import check_divisible, check_positive
from compacter_layers.hypercomplex_rule import HypercomplexRule, resolve_rule, serialize_rule
from compacter_layers.signatures import InitializerLike, Shape, Tensor
from compacter_layers.slice_glorot_uniform import SliceGlorotUniform
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class PHMDense(keras.layers.Layer):
    """Parameterized hypercomplex multiplication, `y = x W + b` (paper, equation 4).

    `W = sum_i A_i kron B_i` has shape `(k, d)` but only kd/n + n^3 parameters
    (section 4), the n^3 of `A` being shared where a `rule` is.

    Args:
        units: Output dimension d, divisible by `n`.
        n: The hypercomplex division.
        rule: What gives A, of the same n; `None` for one of the layer's own (normal, standard
            deviation 0.01).
        use_bias: Whether to add `bias`.
        factor_initializer: Initializer of `B`. Default: `SliceGlorotUniform()`.
        bias_initializer: Initializer of `bias`.

    Attributes:
        B: shape `(n, k/n, d/n)`.
        bias: shape `(d,)`, or `None`.

    Input shape: `(..., k)` with k divisible by `n`. Output shape: `(..., d)`.

    Raises:
        ValueError: `n` or `units` is not a positive integer, `n` does not divide `units` or the
            input dimension k, or `rule` has another n.

    Examples:
        >>> PHMDense(24, n=4)(keras.ops.ones((2, 768))).shape
        (2, 24)
    """

    B: keras.Variable
    bias: keras.Variable | None

    def __init__(
        self,
        units: int,
        n: int,
        rule: HypercomplexRule | dict[str, Any] | None = None,
        use_bias: bool = True,
        factor_initializer: InitializerLike | None = None,
        bias_initializer: InitializerLike = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_positive("n", n)
        check_positive("units", units)
        check_divisible("units", units, n)
        self.units = units
        self.n = n
        own = keras.initializers.RandomNormal(stddev=0.01)
        self.rule = resolve_rule(rule, n, self.dtype_policy, initializer=own)
        self.use_bias = use_bias
        self.factor_initializer = keras.initializers.get(factor_initializer or SliceGlorotUniform())
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: Shape) -> None:
        k, n = input_shape[-1], self.n
        check_divisible("k", k, n)
        self.B = self.add_weight(
            name="B",
            shape=(n, k // n, self.units // n),
            initializer=self.factor_initializer,
            autocast=False,  # W is built in full precision and rounded once
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.units,), initializer=self.bias_initializer
            )
        self.built = True

    def kernel(self) -> Tensor:
        """W, of shape `(k, d)`: the sum over i of A_i kron B_i."""
        return kronecker_sum(self.rule.A, self.B)

    def call(self, inputs: Tensor) -> Tensor:
        outputs = ops.matmul(inputs, ops.cast(self.kernel(), inputs.dtype))
        return add_bias(outputs, self.bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "units": self.units,
                "n": self.n,
                "rule": serialize_rule(self.rule),
                "use_bias": self.use_bias,
                "factor_initializer": keras.initializers.serialize(self.factor_initializer),
                "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            }
        )
        return config


def kronecker_sum(a: Tensor, b: Tensor) -> Tensor:
    """sum_i A_i kron B_i for `a` (n, n, n) and `b` (n, p, q): shape (n p, n q)."""
    n, p, q = b.shape
    return ops.reshape(ops.einsum("iac,ipq->apcq", a, b), (n * p, n * q))

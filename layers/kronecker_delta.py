"""A trained Kronecker product beside a frozen projection."""

from typing import Any, ClassVar

import keras
from compacter_layers.checks import check_divisible, check_positive
from compacter_layers.signatures import InitializerLike, Shape, Tensor
from keras import ops


@keras.saving.register_keras_serializable(package="compacter")
class KroneckerDelta(keras.layers.Layer):
    """`y = scaling x (A kron B)`, to be added to `x W` (KronA, arXiv 2212.10650, section 3).

    Unlike a product of two thin matrices it can have full rank. B is zero at first, and so is y.

    Args:
        units: Output dimension d.
        rows: Rows a of A, a divisor of the input dimension k.
        columns: Columns c of A, a divisor of `units`.
        scaling: Factor on A kron B.
        initializer: Initializer of `A`. Default: Keras' Glorot uniform.

    Attributes:
        A: shape `(a, c)`.
        B: shape `(k/a, d/c)`.

    Input shape: `(..., k)`. Output shape: `(..., d)`.

    Raises:
        ValueError: a size is not a positive integer, `rows` does not divide k or `columns` not
            `units`.

    Examples:
        >>> KroneckerDelta(768, rows=24, columns=24)(keras.ops.ones((2, 768))).shape
        (2, 768)
    """

    kind: ClassVar[str] = "delta"

    A: keras.Variable
    B: keras.Variable

    def __init__(
        self,
        units: int,
        rows: int,
        columns: int,
        scaling: float = 1.0,
        initializer: InitializerLike = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        check_positive("units", units)
        check_positive("rows", rows)
        check_positive("columns", columns)
        check_divisible("units", units, columns, "columns")
        self.units = units
        self.rows = rows
        self.columns = columns
        self.scaling = scaling
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: Shape) -> None:
        k, a, c = input_shape[-1], self.rows, self.columns
        check_divisible("k", k, a, "rows")
        self.A = self.add_weight(
            name="A", shape=(a, c), initializer=self.initializer, autocast=False
        )
        self.B = self.add_weight(
            name="B", shape=(k // a, self.units // c), initializer="zeros", autocast=False
        )
        self.built = True

    def kernel(self) -> Tensor:
        """The delta as one matrix, `(k, d)`."""
        return ops.multiply(ops.kron(self.A, self.B), self.scaling)

    def call(self, inputs: Tensor) -> Tensor:
        # With x as a matrix (a, k/a), x (A kron B) is A^T x B.
        (a, _), (b, _) = self.A.shape, self.B.shape
        shape = ops.shape(inputs)[:-1]  # pyright: ignore[reportOptionalSubscript]  # never None
        x = ops.reshape(inputs, (*shape, a, b))
        x = ops.matmul(x, ops.cast(ops.multiply(self.B, self.scaling), inputs.dtype))
        x = ops.matmul(ops.transpose(ops.cast(self.A, inputs.dtype)), x)
        return ops.reshape(x, (*shape, self.units))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config.update(
            {
                "units": self.units,
                "rows": self.rows,
                "columns": self.columns,
                "scaling": self.scaling,
                "initializer": keras.initializers.serialize(self.initializer),
            }
        )
        return config

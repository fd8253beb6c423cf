"""The bias of the factored dense layers: one vector, or none."""

import keras
from compacter_layers.signatures import Tensor
from keras import ops


def add_bias(outputs: Tensor, bias: keras.Variable | None) -> Tensor:
    """`outputs` (..., d) plus `bias` (d,), cast to their dtype; as they are without a bias."""
    return outputs if bias is None else outputs + ops.cast(bias, outputs.dtype)

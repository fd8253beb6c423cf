"""The layers of the Compacter paper as plain Keras layers, for any model and any backend."""

from compacter_layers.adapter import Adapter, gelu_tanh
from compacter_layers.hypercomplex_rule import HypercomplexRule
from compacter_layers.lphm_dense import LPHMDense
from compacter_layers.phm_dense import PHMDense
from compacter_layers.slice_glorot_uniform import SliceGlorotUniform

__all__ = [
    "Adapter",
    "HypercomplexRule",
    "LPHMDense",
    "PHMDense",
    "SliceGlorotUniform",
    "gelu_tanh",
]

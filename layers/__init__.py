"""The layers of the Compacter paper and its rivals as plain Keras layers.

All run on any Keras backend but `FastfoodProjection` and `IntrinsicSubspace`, whose kernel is
torch's; they are imported on first use. Where no backend is chosen, by KERAS_BACKEND or Keras'
configuration, it is torch: see `compacter_layers.backend`.
"""

from typing import TYPE_CHECKING

import compacter_layers.backend  # noqa: F401  # before keras
from compacter_layers.adapter import Adapter, gelu_tanh
from compacter_layers.added_bias import AddedBias
from compacter_layers.added_scale import AddedScale
from compacter_layers.checks import check_torch
from compacter_layers.hypercomplex_rule import HypercomplexRule
from compacter_layers.kronecker_delta import KroneckerDelta
from compacter_layers.low_rank_delta import LowRankDelta
from compacter_layers.low_rank_dense import LowRankDense
from compacter_layers.lphm_delta import LPHMDelta
from compacter_layers.lphm_dense import LPHMDense
from compacter_layers.phm_dense import PHMDense
from compacter_layers.slice_glorot_uniform import SliceGlorotUniform
from compacter_layers.soft_prompt import SoftPrompt

if TYPE_CHECKING:
    from compacter_layers.fastfood_projection import FastfoodProjection
    from compacter_layers.intrinsic_subspace import IntrinsicSubspace

__all__ = [
    "Adapter",
    "AddedBias",
    "AddedScale",
    "FastfoodProjection",
    "HypercomplexRule",
    "IntrinsicSubspace",
    "KroneckerDelta",
    "LPHMDelta",
    "LPHMDense",
    "LowRankDelta",
    "LowRankDense",
    "PHMDense",
    "SliceGlorotUniform",
    "SoftPrompt",
    "gelu_tanh",
]


def __getattr__(name: str) -> type:
    if name in ("FastfoodProjection", "IntrinsicSubspace"):
        check_torch(name)
    if name == "FastfoodProjection":
        from compacter_layers.fastfood_projection import FastfoodProjection

        return FastfoodProjection
    if name == "IntrinsicSubspace":
        from compacter_layers.intrinsic_subspace import IntrinsicSubspace

        return IntrinsicSubspace
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

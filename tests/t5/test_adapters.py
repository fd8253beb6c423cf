"""The adapters of a pass against the Keras layers themselves."""

import keras
import pytest
import torch
from compacter_layers import (
    Adapter,
    HypercomplexRule,
    LowRankDense,
    LPHMDense,
    PHMDense,
    gelu_tanh,
)

from compacter_cli.t5.adapters import Adapters, Projection

RULE = HypercomplexRule(2, initializer="glorot_normal")
KINDS = {
    "dense": lambda units: keras.layers.Dense(units, bias_initializer="ones"),
    "low rank": lambda units: LowRankDense(units, bias_initializer="ones"),
    "phm": lambda units: PHMDense(units, n=2, bias_initializer="ones"),
    "phm without bias": lambda units: PHMDense(units, n=2, use_bias=False),
    "compacter": lambda units: LPHMDense(units, n=2, rule=RULE, bias_initializer="ones"),
    "own rules": lambda units: LPHMDense(units, n=2, rank=2),
    "contracted": lambda units: LPHMDense(units, n=2, rule=RULE, contract=True),
}


def layers_of(kind, activation=gelu_tanh):
    """Three adapters, one of another size."""
    layers = {}
    for name, (k, d) in {"first": (8, 4), "second": (8, 4), "wide": (12, 6)}.items():
        layers[name] = Adapter(KINDS[kind](d), KINDS[kind](k), activation)
        layers[name].build((None, k))
    return layers


@pytest.mark.parametrize("remat", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_values_and_gradients_are_the_layers_own(kind, remat):
    layers = layers_of(kind)
    bound = Adapters(layers).bound(torch.float32, remat)
    assert list(bound) == ["first", "second", "wide"]
    for name, adapter in bound.items():
        x = torch.randn(5, 12 if name == "wide" else 8)
        weights = [variable.value for variable in layers[name].trainable_variables]
        found, wanted = adapter(x), layers[name](x)
        torch.testing.assert_close(found, wanted)
        torch.testing.assert_close(adapter(x[None]), wanted[None])
        for one, other in zip(
            torch.autograd.grad(found.square().sum(), weights, retain_graph=True),
            torch.autograd.grad(wanted.square().sum(), weights),
            strict=True,
        ):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_assigned_later_is_used(kind):
    layers = layers_of(kind, activation="relu")
    adapters = Adapters(layers)
    for variable in layers["second"].trainable_variables:
        variable.assign(torch.ones(tuple(variable.shape)))
    x = torch.ones(2, 8)
    found = adapters.bound(torch.float32)["second"](x)
    torch.testing.assert_close(found, layers["second"](x))


def test_kernels_are_built_together_and_contracted_ones_not_at_all():
    bound = Adapters(layers_of("compacter")).bound(torch.bfloat16)
    kernels = [bound[name].down.kernel[0] for name in ("first", "second")]
    assert kernels[0].dtype == torch.bfloat16
    assert kernels[0].untyped_storage().data_ptr() == kernels[1].untyped_storage().data_ptr()
    contracted = Adapters(layers_of("contracted")).bound(torch.float32)
    assert not isinstance(contracted["first"].down, Projection)

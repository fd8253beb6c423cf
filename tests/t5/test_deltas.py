"""The deltas of a forward pass against their layers' own kernels."""

import keras
import pytest
import torch
from compacter_layers import HypercomplexRule, KroneckerDelta, LowRankDelta, LPHMDelta

from compacter_cli.t5.deltas import Deltas
from compacter_cli.t5.parts import Kronecker, Thin


def filled(layer, k=8):
    layer.build((None, k))
    generator = torch.Generator().manual_seed(7)
    for variable in layer.trainable_variables:
        variable.assign(torch.randn(*variable.shape, generator=generator))
    return layer


@pytest.fixture
def layers(keras):
    rules = HypercomplexRule(2), HypercomplexRule(2)
    return {
        "low rank": filled(LowRankDelta(6, 3, scaling=0.5)),
        "kronecker": filled(KroneckerDelta(6, rows=4, columns=2, scaling=0.5)),
        "hypercomplex": filled(LPHMDelta(6, 2, 3, rules[0])),
        "of its shape and rule": filled(LPHMDelta(6, 2, 3, rules[0])),
        "of another shape": filled(LPHMDelta(10, 2, 3, rules[0])),
        "of another rule": filled(LPHMDelta(6, 2, 3, rules[1])),
    }


def test_each_is_what_its_layer_says(layers):
    deltas, x = Deltas(layers).bound(torch.float32), torch.randn(5, 8)
    assert set(deltas) == set(layers)
    for name, layer in layers.items():
        assert isinstance(deltas[name], Kronecker if name == "kronecker" else Thin)
        torch.testing.assert_close(deltas[name].dense(), layer.kernel(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(deltas[name](x), x @ layer.kernel(), rtol=1e-4, atol=1e-4)


def test_they_follow_what_is_assigned_and_are_of_the_dtype_asked_for(layers):
    deltas = Deltas(layers)
    layers["low rank"].B.assign(torch.zeros(3, 6))
    assert not deltas.bound(torch.float32)["low rank"].dense().any()
    assert {t.dtype for delta in deltas.bound(torch.bfloat16).values() for t in delta} == {
        torch.bfloat16
    }


def test_one_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="there: a Dense is no delta that is known"):
        Deltas({"there": keras.layers.Dense(3)})

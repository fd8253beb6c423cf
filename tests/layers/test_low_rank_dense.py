"""LowRankDense against the dense product of its factors."""

import numpy as np
import pytest
import torch
from compacter_layers import LowRankDense


@pytest.mark.parametrize("rank", [1, 3])
def test_values_and_gradients_are_those_of_the_dense_kernel(keras, rank):
    layer = LowRankDense(4, rank=rank)
    layer.build((None, 6))
    layer.bias.assign(np.arange(4.0))
    x = torch.randn(5, 6, requires_grad=True)
    s, t = (torch.tensor(v.numpy().copy(), requires_grad=True) for v in (layer.s, layer.t))
    y = x @ (s @ t) + torch.arange(4.0)
    torch.testing.assert_close(layer(x), y)
    layer(x).square().sum().backward()
    mine = x.grad.clone()
    x.grad = None
    y.square().sum().backward()
    torch.testing.assert_close(mine, x.grad)
    torch.testing.assert_close(layer.s.value.grad, s.grad)
    torch.testing.assert_close(layer.t.value.grad, t.grad)


def test_it_has_rank_times_both_dimensions_and_a_bias(keras):
    layer = LowRankDense(24, rank=2)
    layer.build((None, 768))
    assert layer.count_params() == 2 * (768 + 24) + 24
    limit = np.sqrt(2) * np.sqrt(6 / (768 + 2))
    assert 0.9 * limit < np.abs(layer.s.numpy()).max() <= limit


@pytest.mark.parametrize(("units", "rank", "name"), [(4, 0, "rank"), (0, 1, "units")])
def test_sizes_must_be_positive(keras, units, rank, name):
    with pytest.raises(ValueError, match=f"`{name}` must be an integer of at least 1. Received: 0"):
        LowRankDense(units, rank=rank)


def test_config_round_trip(keras):
    again = LowRankDense.from_config(LowRankDense(4, rank=3, use_bias=False).get_config())
    assert (again.units, again.rank, again.use_bias) == (4, 3, False)

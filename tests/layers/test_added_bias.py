"""AddedBias: nothing at first, then a bias."""

import torch
from compacter_layers import AddedBias


def test_it_adds_a_bias_that_starts_at_zero(keras):
    layer = AddedBias()
    x = torch.randn(2, 3)
    assert torch.equal(layer(x), x)
    layer.bias.assign([1.0, 2.0, 3.0])
    assert torch.equal(layer(x), x + torch.tensor([1.0, 2.0, 3.0]))
    assert layer.count_params() == 3

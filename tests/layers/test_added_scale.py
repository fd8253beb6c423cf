"""AddedScale: nothing at first, then a factor on every element."""

import torch
from compacter_layers import AddedScale


def test_it_multiplies_by_a_scale_that_starts_at_one(keras):
    layer = AddedScale()
    x = torch.randn(2, 3)
    assert torch.equal(layer(x), x)
    layer.factor.assign([1.0, 2.0, 3.0])
    assert torch.equal(layer(x), x * torch.tensor([1.0, 2.0, 3.0]))
    assert layer.count_params() == 3


def test_its_config_makes_it_again(keras):
    again = AddedScale.from_config(AddedScale("zeros").get_config())
    assert not again(torch.ones(2, 3)).any()

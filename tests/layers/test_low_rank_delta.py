"""LowRankDelta against the product of its factors; nothing at first."""

import pytest
import torch
from compacter_layers import LowRankDelta


def test_it_is_nothing_at_first(keras):
    layer = LowRankDelta(5, rank=2)
    assert not layer(torch.randn(3, 4)).any()
    assert layer.count_params() == 2 * (4 + 5)


def test_it_is_the_scaled_product_of_its_factors(keras):
    layer = LowRankDelta(5, rank=2, scaling=3.0)
    layer.build((None, 4))
    layer.B.assign(torch.randn(2, 5))
    x, a, b = torch.randn(3, 4), layer.A.value, layer.B.value
    torch.testing.assert_close(layer(x), 3 * x @ a @ b)
    torch.testing.assert_close(layer.kernel(), 3 * a @ b)


def test_a_starts_uniform_within_the_root_of_its_inputs(keras):
    layer = LowRankDelta(1, rank=200, initializer=None)
    layer.build((None, 400))
    a = layer.A.value
    assert a.abs().max() <= 400**-0.5
    assert a.abs().max() > 0.99 * 400**-0.5
    assert a.var().item() == pytest.approx(1 / (3 * 400), rel=0.02)


def test_its_config_makes_it_again(keras):
    layer = LowRankDelta(5, rank=2, scaling=3.0, initializer="ones")
    again = LowRankDelta.from_config(layer.get_config())
    again.build((None, 4))
    assert (again.units, again.rank, again.scaling) == (5, 2, 3.0)
    assert again.A.value.eq(1).all()


@pytest.mark.parametrize("sizes", [{"units": 0, "rank": 1}, {"units": 4, "rank": 0}])
def test_sizes_are_positive(keras, sizes):
    with pytest.raises(ValueError, match="Received: 0"):
        LowRankDelta(**sizes)

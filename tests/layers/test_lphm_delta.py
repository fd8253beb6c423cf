"""LPHMDelta against numpy's Kronecker products; nothing at first."""

import numpy as np
import pytest
import torch
from compacter_layers import HypercomplexRule, LPHMDelta


def filled(n=2, rank=3, units=6, k=8, **settings):
    """A built layer whose t is not zero."""
    layer = LPHMDelta(units, n, rank, **settings)
    layer.build((None, k))
    layer.t.assign(np.random.default_rng(1).standard_normal((n, rank, units // n)))
    return layer


def test_it_is_nothing_at_first(keras):
    layer = LPHMDelta(6, n=2)
    assert not layer(torch.randn(3, 8)).any()
    assert layer.count_params() == (8 + 6) + 2**3
    assert layer.rule.A.value.any()


def test_it_is_the_sum_of_kronecker_products(keras):
    layer = filled()
    a, s, t = (variable.numpy() for variable in (layer.rule.A, layer.s, layer.t))
    kernel = sum(np.kron(a[i], s[i] @ t[i]) for i in range(2))
    np.testing.assert_allclose(layer.kernel().detach().numpy(), kernel, rtol=1e-5, atol=1e-6)
    x = np.random.default_rng(2).standard_normal((5, 8)).astype("float32")
    np.testing.assert_allclose(layer(x).detach().numpy(), x @ kernel, rtol=1e-4, atol=1e-5)
    assert layer(x[None, None]).shape == (1, 1, 5, 6)


def test_its_factors_are_thin_and_their_product_is_the_kernel(keras):
    layer = filled(n=4, rank=1, units=8, k=12)
    first, second = layer.factors()
    assert (tuple(first.shape), tuple(second.shape)) == ((12, 16), (16, 8))
    torch.testing.assert_close(first @ second, layer.kernel())


def test_the_rule_starts_so_that_an_input_keeps_its_size(keras):
    rule = LPHMDelta(768, n=16).rule
    assert rule.A.value.std().item() == pytest.approx(1 / 16, rel=0.05)
    x = torch.randn(200, 768)
    layer = LPHMDelta(768, n=4)
    layer.build((None, 768))
    first, _ = layer.factors()
    mixed = (x @ first).view(200, 4, 4, 1)  # rows, parts, i and r
    met = torch.einsum("nair,iac->nirc", mixed, layer.rule.A.value)
    assert 0.3 < met.std().item() < 3


def test_a_rule_is_shared_and_has_the_same_n(keras):
    rule = HypercomplexRule(2)
    layers = [filled(rule=rule), filled(rule=rule)]
    assert layers[0].rule is layers[1].rule is rule
    with pytest.raises(ValueError, match="must have n=4"):
        LPHMDelta(8, n=4, rule=rule)


def test_its_config_makes_it_again(keras):
    layer = filled(factor_initializer="ones")
    again = LPHMDelta.from_config(layer.get_config())
    again.build((None, 8))
    assert (again.units, again.n, again.rank) == (6, 2, 3)
    assert again.s.value.eq(1).all()


@pytest.mark.parametrize(
    ("settings", "k", "said"),
    [
        ({"units": 6, "n": 4}, 8, "units=6"),
        ({"units": 8, "n": 4}, 6, "k=6"),
        ({"units": 8, "n": 0}, 8, "Received: 0"),
        ({"units": 8, "n": 2, "rank": 0}, 8, "Received: 0"),
    ],
)
def test_what_does_not_divide_is_refused(keras, settings, k, said):
    with pytest.raises(ValueError, match=said):
        LPHMDelta(**settings).build((None, k))

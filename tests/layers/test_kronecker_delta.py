"""KroneckerDelta against numpy's Kronecker product; nothing at first."""

import numpy as np
import pytest
import torch
from compacter_layers import KroneckerDelta


def test_it_is_nothing_at_first(keras):
    layer = KroneckerDelta(6, rows=4, columns=3)
    assert not layer(torch.randn(3, 8)).any()
    assert layer.count_params() == 4 * 3 + 2 * 2


def test_it_is_the_scaled_kronecker_product(keras):
    layer = KroneckerDelta(6, rows=4, columns=3, scaling=1.5)
    layer.build((None, 8))
    layer.B.assign(np.random.default_rng(1).standard_normal((2, 2)))
    kernel = 1.5 * np.kron(layer.A.numpy(), layer.B.numpy())
    assert np.linalg.matrix_rank(kernel) == 6
    np.testing.assert_allclose(layer.kernel().detach().numpy(), kernel, rtol=1e-5, atol=1e-6)
    x = np.random.default_rng(2).standard_normal((2, 5, 8)).astype("float32")
    found = layer(x).detach().numpy()
    np.testing.assert_allclose(found, x @ kernel, rtol=1e-4, atol=1e-5)


def test_its_config_makes_it_again(keras):
    layer = KroneckerDelta(6, rows=4, columns=3, scaling=1.5, initializer="ones")
    again = KroneckerDelta.from_config(layer.get_config())
    again.build((None, 8))
    assert (again.units, again.rows, again.columns, again.scaling) == (6, 4, 3, 1.5)
    assert again.A.value.eq(1).all()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"units": 6, "rows": 4, "columns": 4}, "`units` must be divisible by columns=4"),
        ({"units": 6, "rows": 3, "columns": 3}, "`k` must be divisible by rows=3"),
        ({"units": 6, "rows": 0, "columns": 3}, "Received: 0"),
        ({"units": 0, "rows": 4, "columns": 3}, "Received: 0"),
    ],
)
def test_what_does_not_divide_is_refused(keras, settings, said):
    with pytest.raises(ValueError, match=said):
        KroneckerDelta(**settings).build((None, 8))

"""theta0 + lambda P v for every tensor, against explicit matrices."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from compacter_layers import IntrinsicSubspace

_spec = importlib.util.spec_from_file_location(
    "fastfood_oracle", Path(__file__).with_name("test_fastfood_projection.py")
)
_oracle = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_oracle)

SHAPES = {"a": (3, 4), "b": (5,)}


@pytest.fixture
def subspace(keras):
    layer = IntrinsicSubspace(6, SHAPES, seed=9)
    layer.build()
    return layer


def test_it_starts_where_the_tensors_are(subspace):
    tensors = {name: torch.randn(shape) for name, shape in SHAPES.items()}
    moved = subspace.call({**tensors, "other": torch.ones(2)})
    assert all(torch.equal(moved[name], tensors[name]) for name in SHAPES)
    assert moved["other"].tolist() == [1.0, 1.0]


def test_values_and_gradients_are_those_of_explicit_matrices(subspace):
    v, scales = torch.randn(6), torch.tensor([0.5, -2.0])
    subspace.v.assign(v)
    subspace.scales.assign(scales)
    tensors = {name: torch.randn(shape) for name, shape in SHAPES.items()}
    moved = subspace.call(tensors)
    v.requires_grad_()
    scales.requires_grad_()
    expected = {}
    for index, (name, shape) in enumerate(SHAPES.items()):
        matrix = _oracle.explicit_matrix(int(np.prod(shape)), 6, 9, name)
        delta = scales[index] * (torch.tensor(matrix, dtype=torch.float32) @ v)
        expected[name] = tensors[name] + delta.reshape(shape)
        np.testing.assert_allclose(
            moved[name].detach().numpy(), expected[name].detach().numpy(), atol=1e-5
        )
    sum((t.square()).sum() for t in moved.values()).backward()
    sum((t.square()).sum() for t in expected.values()).backward()
    np.testing.assert_allclose(subspace.v.value.grad.numpy(), v.grad.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        subspace.scales.value.grad.numpy(), scales.grad.numpy(), rtol=1e-3, atol=1e-4
    )


def test_the_released_gradient_gives_each_tensor_a_share_by_its_padded_size(keras):
    """Against numpy: theta_i = lambda_i M_i v, and dv = sum of lambda_i M_i^T g_i / LL_i."""
    draw = np.random.default_rng(0)
    v, scales = draw.standard_normal(6), np.array([0.5, -2.0])
    given = {name: draw.standard_normal(shape) for name, shape in SHAPES.items()}
    matrices = [_oracle.explicit_matrix(size, 6, 9, name) for size, name in ((12, "a"), (5, "b"))]
    alone = [s * m.T @ g.ravel() for s, m, g in zip(scales, matrices, given.values(), strict=True)]
    found = {}
    for gradient in ("exact", "released"):
        layer = IntrinsicSubspace(6, SHAPES, seed=9, gradient=gradient)
        layer.build()
        layer.v.assign(v)
        layer.scales.assign(scales)
        moved = layer.call({name: torch.zeros(shape) for name, shape in SHAPES.items()})
        found[gradient] = moved
        sum((moved[n] * torch.tensor(g).float()).sum() for n, g in given.items()).backward()
        shares = (16, 8) if gradient == "released" else (1, 1)
        expected = sum(part / share for part, share in zip(alone, shares, strict=True))
        np.testing.assert_allclose(layer.v.value.grad.numpy(), expected, rtol=1e-4, atol=1e-6)
        of_scales = [(m @ v) @ g.ravel() for m, g in zip(matrices, given.values(), strict=True)]
        np.testing.assert_allclose(layer.scales.value.grad.numpy(), of_scales, rtol=1e-4)
    assert all(torch.equal(found["released"][name], found["exact"][name]) for name in SHAPES)


def test_a_copy_from_its_config_has_its_gradient(keras):
    layer = IntrinsicSubspace(6, SHAPES, seed=9, gradient="released")
    assert IntrinsicSubspace.from_config(layer.get_config()).gradient == "released"
    with pytest.raises(ValueError, match=r'"exact" or "released". Received: \'paper\''):
        IntrinsicSubspace(6, SHAPES, seed=9, gradient="paper")


def test_only_the_vector_and_the_scales_train(subspace):
    assert [tuple(v.shape) for v in subspace.trainable_variables] == [(6,), (2,)]
    assert len(subspace.weights) == 2


def test_a_subspace_that_would_move_nothing_is_refused(keras):
    with pytest.raises(ValueError, match="must name a tensor"):
        IntrinsicSubspace(6, {}, seed=9)

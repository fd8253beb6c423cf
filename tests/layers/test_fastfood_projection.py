"""Fastfood against the explicit matrix H G P H B of the definition."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.linalg
import torch
from compacter_layers import FastfoodProjection
from compacter_layers.fastfood_projection import draw_constants, hadamard

GOLDEN_SIGNS = [-1, -1, -1, 1, -1, 1, -1, 1]
GOLDEN_PERMUTATION = [3, 5, 1, 6, 4, 2, 7, 0]
GOLDEN_GAUSS = [0.8192919918034829, -0.744020696559267, 0.5597164788820244]


def explicit_matrix(size, dimension, seed, tag):
    """The D x d' matrix, product by product, in float64."""
    padded = 1
    while padded < size:
        padded *= 2
    signs, permutation, gauss = draw_constants(padded, seed, tag)
    h = scipy.linalg.hadamard(padded).astype(float)
    matrix = h @ np.diag(gauss) @ np.eye(padded)[permutation] @ h @ np.diag(signs)
    matrix /= np.sqrt(padded * (gauss**2).sum()) * np.sqrt(size / padded)
    matrix = matrix[:size]
    if dimension <= padded:
        return matrix[:, :dimension]  # the vector is padded with zeros
    return np.pad(matrix, ((0, 0), (0, dimension - padded)))  # the vector is cut


@pytest.fixture
def projection(keras):
    def make(size, dimension, seed=3, tag="x"):
        layer = FastfoodProjection(size, seed, tag=tag)
        layer.build((dimension,))
        return layer

    return make


@pytest.mark.parametrize(
    ("size", "dimension"), [(37, 20), (37, 64), (37, 100), (64, 64), (1000, 20), (3, 7), (1, 5)]
)
def test_values_and_gradients_are_those_of_the_explicit_matrix(projection, size, dimension):
    layer, matrix = projection(size, dimension), explicit_matrix(size, dimension, 3, "x")
    vector = torch.randn(dimension, requires_grad=True)
    moved = layer.call(vector)
    assert moved.shape == (size,)
    np.testing.assert_allclose(
        moved.detach().numpy(), matrix @ vector.detach().numpy(), rtol=1e-4, atol=1e-5
    )
    gradient = torch.randn(size)
    moved.backward(gradient)
    np.testing.assert_allclose(
        vector.grad.numpy(), matrix.T @ gradient.numpy(), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("bits", [0, 1, 5, 8, 11])
def test_the_transform_is_hadamards(bits):
    vector = torch.randn(1 << bits, dtype=torch.float64)
    expected = scipy.linalg.hadamard(1 << bits) @ vector.numpy()
    np.testing.assert_allclose(hadamard(vector).numpy(), expected, atol=1e-9)


def test_constants_are_the_same_for_ever():
    """Saved adapters depend on these numbers: change the rule's version, never the rule."""
    signs, permutation, gauss = draw_constants(8, 42, "embedding")
    assert sorted(permutation.tolist()) == list(range(8))
    code = (
        "from compacter_layers.fastfood_projection import draw_constants as d;"
        "s, p, g = d(8, 42, 'embedding'); print(s.tolist(), p.tolist(), g.tolist())"
    )
    environment = {"KERAS_BACKEND": "torch", "PATH": ""}
    again = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert again.stdout.strip() == f"{signs.tolist()} {permutation.tolist()} {gauss.tolist()}"
    assert signs.tolist() == GOLDEN_SIGNS
    assert permutation.tolist() == GOLDEN_PERMUTATION
    assert gauss[:3].tolist() == pytest.approx(GOLDEN_GAUSS, rel=1e-12)


@pytest.mark.parametrize("other", [{"seed": 4}, {"tag": "y"}])
def test_another_seed_or_tag_gives_another_map(projection, other):
    vector = torch.ones(5)
    assert not torch.allclose(
        projection(16, 5).call(vector), projection(16, 5, **other).call(vector)
    )


def test_nothing_trains_and_nothing_is_saved(projection):
    assert projection(16, 5).weights == []


def test_size_must_be_positive(keras):
    with pytest.raises(ValueError, match=r"`size` must be an integer of at least 1. Received: 0"):
        FastfoodProjection(0, seed=1)

"""SoftPrompt: its vectors first, the sequence after them."""

import numpy as np
import pytest
import torch
from compacter_layers import SoftPrompt


def test_the_prompt_stands_before_every_sequence(keras):
    layer = SoftPrompt(2)
    layer.build((None, None, 3))
    x = torch.randn(4, 5, 3)
    y = layer(x)
    assert y.shape == (4, 7, 3)
    assert torch.equal(y[:, 2:], x)
    for row in y[:, :2]:
        assert torch.equal(row, layer.prompt.value)


def test_its_gradient_sums_over_the_batch(keras):
    layer = SoftPrompt(2)
    layer.build((None, None, 3))
    layer(torch.zeros(4, 5, 3)).sum().backward()
    assert layer.prompt.value.grad.tolist() == [[4.0] * 3] * 2


def test_it_starts_uniformly_between_minus_a_half_and_a_half(keras):
    layer = SoftPrompt(100)
    layer.build((None, None, 64))
    values = layer.prompt.numpy()
    assert -0.5 <= values.min() < -0.49
    assert 0.49 < values.max() <= 0.5
    assert np.abs(values.mean()) < 0.02


def test_length_must_be_positive(keras):
    with pytest.raises(ValueError, match=r"`length` must be an integer of at least 1. Received: 0"):
        SoftPrompt(0)

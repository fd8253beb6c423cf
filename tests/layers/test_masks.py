"""A mask of the sequence, as `Embedding(mask_zero=True)` gives one, goes through every layer."""

import compacter_layers as layers
import numpy as np
import pytest

SEQUENCE_LAYERS = {
    "Adapter": lambda: layers.Adapter(layers.LowRankDense(2), layers.LowRankDense(8)),
    "AddedBias": layers.AddedBias,
    "AddedScale": layers.AddedScale,
    "KroneckerDelta": lambda: layers.KroneckerDelta(8, rows=2, columns=2),
    "LPHMDelta": lambda: layers.LPHMDelta(8, n=2),
    "LPHMDense": lambda: layers.LPHMDense(8, n=2),
    "LowRankDelta": lambda: layers.LowRankDelta(8, rank=2),
    "LowRankDense": lambda: layers.LowRankDense(8),
    "PHMDense": lambda: layers.PHMDense(8, n=2),
    "SoftPrompt": lambda: layers.SoftPrompt(3),
}
WITHOUT_A_SEQUENCE = {
    "FastfoodProjection",
    "HypercomplexRule",
    "IntrinsicSubspace",
    "SliceGlorotUniform",
    "gelu_tanh",
}


def test_no_layer_is_forgotten_here():
    assert set(layers.__all__) == set(SEQUENCE_LAYERS) | WITHOUT_A_SEQUENCE


@pytest.mark.parametrize("name", SEQUENCE_LAYERS)
def test_padding_is_left_out_behind_it(keras, name):
    tokens = keras.Input((None,), dtype="int32")
    embedded = keras.layers.Embedding(9, 8, mask_zero=True)(tokens)
    rows = SEQUENCE_LAYERS[name]()(embedded)
    model = keras.Model(tokens, [rows, keras.layers.GlobalAveragePooling1D()(rows)])
    real = 2 + getattr(model.layers[2], "length", 0)  # a prompt is never padding
    values, mean = model.predict(np.array([[4, 7, 0, 0]]), verbose=0)
    np.testing.assert_allclose(mean[0], values[0, :real].mean(axis=0), atol=1e-6)


def test_a_prompt_without_a_mask_makes_none(keras):
    assert layers.SoftPrompt(3).compute_mask(keras.ops.ones((2, 4, 8)), None) is None

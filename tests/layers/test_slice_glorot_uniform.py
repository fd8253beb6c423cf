"""`SliceGlorotUniform`: every slice has the limit of a matrix of its own."""

import math

import keras
import numpy as np
import pytest
from compacter_layers import SliceGlorotUniform


def draw(initializer, shape):
    return keras.ops.convert_to_numpy(initializer(shape))


@pytest.mark.parametrize("shape", [(4, 192, 6), (4, 192, 1), (12, 2, 400), (300, 40)])
def test_limit_follows_from_the_last_two_axes_alone(shape):
    limit = math.sqrt(2) * math.sqrt(6 / (shape[-2] + shape[-1]))
    values = draw(SliceGlorotUniform(), shape)
    assert np.abs(values).max() <= limit
    assert np.abs(values).max() > 0.97 * limit
    assert values.std() == pytest.approx(limit / math.sqrt(3), rel=0.1)


def test_keras_own_glorot_would_be_much_smaller():
    """The reason for this class: Keras divides the fans' limit by the leading axis."""
    shape = (16, 48, 6)
    ratio = (
        draw(SliceGlorotUniform(gain=1.0), shape).std()
        / draw(keras.initializers.GlorotUniform(seed=1), shape).std()
    )
    assert ratio == pytest.approx(math.sqrt(16), rel=0.1)


def test_every_slice_has_that_limit_and_values_of_its_own():
    limit = math.sqrt(2) * math.sqrt(6 / (30 + 50))
    slices = draw(SliceGlorotUniform(seed=1), (3, 30, 50))
    for matrix in slices:
        assert 0.97 * limit < np.abs(matrix).max() <= limit
    assert not np.array_equal(slices[0], slices[1])


def test_gain_scales_the_limit():
    small = draw(SliceGlorotUniform(gain=0.5, seed=1), (2, 8, 8))
    large = draw(SliceGlorotUniform(gain=1.5, seed=1), (2, 8, 8))
    np.testing.assert_allclose(large, 3 * small, rtol=1e-5, atol=1e-6)


def test_an_int_seed_gives_the_same_values_at_every_call():
    initializer = SliceGlorotUniform(seed=5)
    first = draw(initializer, (2, 3, 4))
    assert np.array_equal(first, draw(initializer, (2, 3, 4)))
    assert np.array_equal(first, draw(SliceGlorotUniform(seed=5), (2, 3, 4)))
    assert not np.array_equal(first, draw(SliceGlorotUniform(seed=6), (2, 3, 4)))


@pytest.mark.parametrize("seed", [None, 5])
def test_a_generator_gives_new_values_at_every_call(seed):
    generator = None if seed is None else keras.random.SeedGenerator(seed)
    initializer = SliceGlorotUniform(seed=generator)
    assert not np.array_equal(draw(initializer, (2, 3, 4)), draw(initializer, (2, 3, 4)))


def test_two_without_a_seed_differ():
    first, second = (draw(SliceGlorotUniform(), (2, 3, 4)) for _ in range(2))
    assert not np.array_equal(first, second)


def test_dtype_is_the_one_asked_for():
    values = SliceGlorotUniform(seed=1)((2, 3, 4), dtype="float64")
    assert keras.backend.standardize_dtype(values.dtype) == "float64"


@pytest.mark.parametrize("shape", [(), (5,)])
def test_a_shape_without_matrices_is_refused(shape):
    with pytest.raises(ValueError, match="`shape` must have at least two axes") as error:
        SliceGlorotUniform()(shape)
    assert f"Received: shape={shape}" in str(error.value)


def test_config_round_trip_with_an_int_seed():
    again = SliceGlorotUniform.from_config(SliceGlorotUniform(gain=0.7, seed=4).get_config())
    expected = draw(SliceGlorotUniform(gain=0.7, seed=4), (2, 3, 4))
    assert np.array_equal(draw(again, (2, 3, 4)), expected)


def test_config_round_trip_with_a_generator():
    config = keras.saving.serialize_keras_object(
        SliceGlorotUniform(gain=0.7, seed=keras.random.SeedGenerator(4))
    )
    again = keras.saving.deserialize_keras_object(config)
    expected = draw(SliceGlorotUniform(gain=0.7, seed=keras.random.SeedGenerator(4)), (2, 3, 4))
    assert np.array_equal(draw(again, (2, 3, 4)), expected)

"""`PHMDense` against equation 4 written out with Kronecker products: values, gradients, sharing."""

import math

import keras
import numpy as np
import pytest
import torch
from compacter_layers import HypercomplexRule, LPHMDense, PHMDense

SIZES = [(8, 12, 4), (6, 3, 3), (5, 7, 1), (24, 2, 2)]  # k, d, n


def filled(layer, k, seed=0):
    """The layer, built for dimension k, all its weights drawn anew and of order one."""
    if not layer.built:
        layer.build((None, k))
    generator = np.random.default_rng(seed)
    for variable in layer.weights:
        variable.assign(generator.standard_normal(variable.shape))
    return layer


def inputs(*shape):
    return np.random.default_rng(9).standard_normal(shape).astype("float32")


def exact(variable):
    return keras.ops.convert_to_numpy(variable).astype("float64")


def expected_kernel(A, B):
    """Equation 4: W = sum_i A_i kron B_i."""
    W = np.zeros((A.shape[1] * B.shape[1], A.shape[2] * B.shape[2]))
    for A_i, B_i in zip(A, B, strict=True):
        W += np.kron(A_i, B_i)
    return W


@pytest.mark.parametrize(("k", "d", "n"), SIZES)
def test_kernel_and_output_are_those_of_equation_4(k, d, n):
    layer = filled(PHMDense(d, n=n), k)
    W = expected_kernel(exact(layer.rule.A), exact(layer.B))
    assert W.shape == (k, d)
    np.testing.assert_allclose(exact(layer.kernel()), W, rtol=1e-5, atol=1e-5)
    x = inputs(5, k)
    expected = x @ W + exact(layer.bias)
    np.testing.assert_allclose(exact(layer(x)), expected, rtol=1e-5, atol=1e-4)


def test_leading_axes_are_all_batch():
    layer = filled(PHMDense(4, n=2), 6)
    x = inputs(3, 2, 5, 6)
    W = expected_kernel(exact(layer.rule.A), exact(layer.B))
    y = exact(layer(x))
    assert y.shape == (3, 2, 5, 4) == layer.compute_output_shape((3, 2, 5, 6))
    np.testing.assert_allclose(y, x @ W + exact(layer.bias), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(("k", "d", "n"), SIZES)
def test_gradients_are_those_of_the_kronecker_sum(k, d, n):
    layer = filled(PHMDense(d, n=n), k)
    x = torch.tensor(inputs(5, k), requires_grad=True)
    target = torch.tensor(inputs(5, d))
    mine = [x, layer.rule.A.value, layer.B.value, layer.bias.value]
    found = torch.autograd.grad(((layer(x) - target) ** 2).sum(), mine)

    theirs = [tensor.detach().double().requires_grad_() for tensor in mine]
    x2, A, B, bias = theirs
    W = sum(torch.kron(A[i], B[i]) for i in range(n))
    loss = ((x2 @ W + bias - target.double()) ** 2).sum()
    for ours, wanted in zip(found, torch.autograd.grad(loss, theirs), strict=True):
        torch.testing.assert_close(
            ours.double(), wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item()
        )


def test_a_shared_rule_gets_the_gradient_of_both_layers():
    rule = HypercomplexRule(2)
    first, second = filled(PHMDense(4, n=2, rule=rule), 6), filled(PHMDense(6, n=2, rule=rule), 4)
    x = torch.tensor(inputs(3, 6))
    (found,) = torch.autograd.grad((second(first(x)) ** 2).sum(), [rule.A.value])

    A1, A2 = (rule.A.value.detach().clone().requires_grad_() for _ in range(2))
    W1, W2 = (
        sum(torch.kron(A[i], layer.B.value.detach()[i]) for i in range(2))
        for A, layer in ((A1, first), (A2, second))
    )
    y = (x @ W1 + first.bias.value.detach()) @ W2 + second.bias.value.detach()
    one, two = torch.autograd.grad((y**2).sum(), [A1, A2])
    torch.testing.assert_close(found, one + two, rtol=1e-4, atol=1e-3)
    assert one.abs().max() > 1e-3 < two.abs().max()


@pytest.mark.parametrize(("k", "d", "n"), [(768, 24, 4), (24, 768, 12)])
def test_parameters_are_kd_over_n_and_n_cubed_and_the_bias(k, d, n):
    layer = PHMDense(d, n=n)
    layer.build((None, k))
    assert layer.count_params() == k * d // n + n**3 + d
    without = PHMDense(d, n=n, use_bias=False)
    without.build((None, k))
    assert without.bias is None
    assert without.count_params() == k * d // n + n**3


def test_a_shared_rule_counts_once_in_a_model():
    rule = HypercomplexRule(4)
    first, second = PHMDense(8, n=4, rule=rule), PHMDense(16, n=4, rule=rule)
    model = keras.Sequential([keras.Input((16,)), first, second])
    assert model.count_params() == 2 * (16 * 8 // 4) + 8 + 16 + 4**3
    assert first.rule is second.rule is rule


def test_without_bias_it_is_linear():
    layer = filled(PHMDense(4, n=2, use_bias=False), 6)
    assert not exact(layer(np.zeros((1, 6), "float32"))).any()


def test_initial_values():
    k, d, n = 480, 240, 24
    layer = PHMDense(d, n=n)
    layer.build((None, k))
    assert exact(layer.rule.A).std() == pytest.approx(0.01, rel=0.05)
    limit = math.sqrt(2) * math.sqrt(6 / (k / n + d / n))
    for B_i in exact(layer.B):
        assert 0.9 * limit < np.abs(B_i).max() <= limit * (1 + 1e-6)
        assert B_i.std() == pytest.approx(limit / math.sqrt(3), rel=0.2)
    assert not exact(layer.bias).any()


def test_initializers_can_be_given():
    layer = PHMDense(4, n=2, factor_initializer="ones", bias_initializer="ones")
    layer.build((None, 6))
    assert (exact(layer.B) == 1).all()
    assert (exact(layer.bias) == 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "`n` must be an integer of at least 1. Received: 0"),
        ({"n": -2}, "`n` must be an integer of at least 1. Received: -2"),
        ({"n": True}, "`n` must be an integer of at least 1. Received: True"),
        ({"n": 2.0}, "`n` must be an integer of at least 1. Received: 2.0"),
        ({"units": 0}, "`units` must be an integer of at least 1. Received: 0"),
        ({"units": 8.0}, "`units` must be an integer of at least 1. Received: 8.0"),
        ({"units": 10}, "`units` must be divisible by the hypercomplex division n=4. "
                        "Received: units=10 (10 % 4 = 2)"),
        ({"rule": HypercomplexRule(2)}, "`rule` must have n=4, as the layer. Received: rule.n=2"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        PHMDense(**{"units": 8, "n": 4, **changes})
    assert message in str(error.value)


def test_an_input_dimension_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="`k` must be divisible") as error:
        PHMDense(8, n=4).build((None, 6))
    assert "n=4" in str(error.value)
    assert "Received: k=6 (6 % 4 = 2)" in str(error.value)


def test_config_round_trip():
    layer = PHMDense(
        6,
        n=3,
        rule=HypercomplexRule(3, initializer="ones"),
        use_bias=False,
        factor_initializer=keras.initializers.RandomNormal(seed=2),
        name="projection",
    )
    again = PHMDense.from_config(layer.get_config())
    assert (again.name, again.units, again.n, again.use_bias) == ("projection", 6, 3, False)
    x = inputs(2, 9)
    np.testing.assert_array_equal(exact(again(x)), exact(layer(x)))


def test_mixed_precision_keeps_float32_weights_and_rounds_the_kernel_once():
    layer = filled(PHMDense(8, n=4, dtype="mixed_bfloat16"), 12)
    x = inputs(3, 12)
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert {variable.dtype for variable in layer.weights} == {"float32"}
    W = torch.tensor(expected_kernel(exact(layer.rule.A), exact(layer.B))).bfloat16()
    expected = torch.tensor(x).bfloat16() @ W + layer.bias.value.detach().bfloat16()
    torch.testing.assert_close(y.detach(), expected, rtol=2e-2, atol=5e-2)


def saved(model, path):
    model.save(path)
    return keras.models.load_model(path)


def sharing_model(rule):
    first = PHMDense(4, n=2, rule=rule, name="first")
    second = LPHMDense(6, n=2, rule=rule, name="second")
    model = keras.Sequential([keras.Input((6,)), first, second])
    return filled(model, 6)


def test_a_rule_shared_with_another_kind_of_layer_is_one_after_saving(tmp_path):
    model = sharing_model(HypercomplexRule(2))
    loaded = saved(model, tmp_path / "model.keras")
    first, second = loaded.get_layer("first"), loaded.get_layer("second")
    assert first.rule is second.rule
    assert loaded.count_params() == model.count_params()
    assert len(loaded.trainable_variables) == len(model.trainable_variables) == 6
    x = inputs(4, 6)
    np.testing.assert_array_equal(exact(loaded(x)), exact(model(x)))


def test_separate_rules_are_separate_after_saving(tmp_path):
    first, second = PHMDense(4, n=2, name="first"), PHMDense(6, n=2, name="second")
    model = filled(keras.Sequential([keras.Input((6,)), first, second]), 6)
    loaded = saved(model, tmp_path / "model.keras")
    assert loaded.get_layer("first").rule is not loaded.get_layer("second").rule
    x = inputs(4, 6)
    np.testing.assert_array_equal(exact(loaded(x)), exact(model(x)))


def test_two_models_loaded_from_one_file_share_nothing(tmp_path):
    model = sharing_model(HypercomplexRule(2))
    model.save(tmp_path / "model.keras")
    first, second = (keras.models.load_model(tmp_path / "model.keras") for _ in range(2))
    x = inputs(4, 6)
    before = exact(second(x))
    first.get_layer("first").rule.A.assign(np.zeros((2, 2, 2)))
    np.testing.assert_array_equal(exact(second(x)), before)
    np.testing.assert_array_equal(exact(model(x)), before)
    assert not np.array_equal(exact(first(x)), before)

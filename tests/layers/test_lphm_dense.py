"""`LPHMDense` against equation 5 written out with Kronecker products, built and contracted."""

import math

import keras
import numpy as np
import pytest
import torch
from compacter_layers import HypercomplexRule, LPHMDense

SIZES = [(8, 12, 4, 1), (12, 8, 4, 3), (6, 3, 3, 2), (5, 7, 1, 1), (24, 2, 2, 5)]  # k, d, n, r
contracted_or_built = pytest.mark.parametrize("contract", [True, False, None])


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


def expected_kernel(A, s, t):
    """Equation 5: W = sum_i A_i kron (s_i t_i)."""
    W = np.zeros((A.shape[1] * s.shape[1], A.shape[2] * t.shape[2]))
    for A_i, s_i, t_i in zip(A, s, t, strict=True):
        W += np.kron(A_i, s_i @ t_i)
    return W


def weights_of(layer):
    return exact(layer.rule.A), exact(layer.s), exact(layer.t)


@contracted_or_built
@pytest.mark.parametrize(("k", "d", "n", "rank"), SIZES)
def test_kernel_and_output_are_those_of_equation_5(k, d, n, rank, contract):
    layer = filled(LPHMDense(d, n=n, rank=rank, contract=contract), k)
    W = expected_kernel(*weights_of(layer))
    assert W.shape == (k, d)
    np.testing.assert_allclose(exact(layer.kernel()), W, rtol=1e-5, atol=1e-5)
    x = inputs(5, k)
    expected = x @ W + exact(layer.bias)
    np.testing.assert_allclose(exact(layer(x)), expected, rtol=1e-5, atol=2e-4)


@contracted_or_built
@pytest.mark.parametrize(("k", "d", "n", "rank"), SIZES)
def test_gradients_are_those_of_the_kronecker_sum(k, d, n, rank, contract):
    layer = filled(LPHMDense(d, n=n, rank=rank, contract=contract), k)
    x = torch.tensor(inputs(5, k), requires_grad=True)
    target = torch.tensor(inputs(5, d))
    mine = [x, layer.rule.A.value, layer.s.value, layer.t.value, layer.bias.value]
    found = torch.autograd.grad(((layer(x) - target) ** 2).sum(), mine)

    theirs = [tensor.detach().double().requires_grad_() for tensor in mine]
    x2, A, s, t, bias = theirs
    W = sum(torch.kron(A[i], s[i] @ t[i]) for i in range(n))
    loss = ((x2 @ W + bias - target.double()) ** 2).sum()
    for ours, wanted in zip(found, torch.autograd.grad(loss, theirs), strict=True):
        torch.testing.assert_close(
            ours.double(), wanted, rtol=1e-4, atol=1e-5 * wanted.abs().max().item()
        )


def test_the_rank_of_every_factor_is_the_rank_given():
    layer = filled(LPHMDense(12, n=2, rank=3), 16)
    products = exact(layer.s) @ exact(layer.t)
    assert [np.linalg.matrix_rank(product) for product in products] == [3, 3]


@pytest.mark.parametrize("contract", [True, False])
def test_leading_axes_are_all_batch(contract):
    layer = filled(LPHMDense(4, n=2, contract=contract), 6)
    x = inputs(3, 2, 5, 6)
    W = expected_kernel(*weights_of(layer))
    y = exact(layer(x))
    assert y.shape == (3, 2, 5, 4) == layer.compute_output_shape((3, 2, 5, 6))
    np.testing.assert_allclose(y, x @ W + exact(layer.bias), rtol=1e-5, atol=1e-4)


def test_contracting_never_builds_the_kernel(monkeypatch):
    contracted = filled(LPHMDense(4, n=2, contract=True), 6)
    built = filled(LPHMDense(4, n=2, contract=False), 6)

    def refuse(layer):
        raise AssertionError("kernel() was called")

    monkeypatch.setattr(LPHMDense, "kernel", refuse)
    contracted(inputs(3, 6))
    with pytest.raises(AssertionError, match="was called"):
        built(inputs(3, 6))


@pytest.mark.parametrize(
    ("k", "d", "n", "contracts"),
    [(768, 24, 4, True), (24, 768, 4, True), (764, 24, 4, False), (768, 20, 4, False),
     (768, 24, 12, False)],
)  # fmt: skip
def test_the_default_contracts_on_a_cpu_where_the_docstring_says(monkeypatch, k, d, n, contracts):
    with keras.device("cpu"):
        layer = LPHMDense(d, n=n)
        layer.build((None, k))
        called = []
        monkeypatch.setattr(layer, "kernel", lambda: called.append(1) or torch.zeros(k, d))
        layer(torch.ones(1, k))
    assert bool(called) != contracts


def test_the_default_builds_elsewhere_than_on_a_cpu_under_torch():
    layer = LPHMDense(24, n=4)
    assert layer.contracts(768, on_cpu=True)
    assert not layer.contracts(768, on_cpu=False)


def test_built_and_contracted_agree_at_the_paper_s_size():
    built = filled(LPHMDense(24, n=4, contract=False), 768)
    contracted = LPHMDense(24, n=4, rule=built.rule, contract=True)
    contracted.build((None, 768))
    for name in ("s", "t", "bias"):
        getattr(contracted, name).assign(getattr(built, name))
    x = torch.tensor(inputs(10, 768))
    results = []
    for layer in (built, contracted):
        y = layer(x)
        parameters = [layer.rule.A.value, layer.s.value, layer.t.value, layer.bias.value]
        results.append([y.detach(), *torch.autograd.grad((y**2).sum(), parameters)])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * one.abs().max().item())


@pytest.mark.parametrize("contract", [True, False])
def test_a_shared_rule_gets_the_gradient_of_both_layers(contract):
    rule = HypercomplexRule(2)
    first = filled(LPHMDense(4, n=2, rule=rule, contract=contract), 6, seed=1)
    second = filled(LPHMDense(6, n=2, rule=rule, contract=contract), 4, seed=2)
    x = torch.tensor(inputs(3, 6))
    (found,) = torch.autograd.grad((second(first(x)) ** 2).sum(), [rule.A.value])

    A1, A2 = (rule.A.value.detach().clone().requires_grad_() for _ in range(2))
    W1, W2 = (
        sum(torch.kron(A[i], (layer.s.value @ layer.t.value).detach()[i]) for i in range(2))
        for A, layer in ((A1, first), (A2, second))
    )
    y = (x @ W1 + first.bias.value.detach()) @ W2 + second.bias.value.detach()
    one, two = torch.autograd.grad((y**2).sum(), [A1, A2])
    torch.testing.assert_close(found, one + two, rtol=1e-4, atol=1e-5 * found.abs().max().item())
    assert one.abs().max() > 1e-3 < two.abs().max()


@pytest.mark.parametrize(("k", "d", "n", "rank"), [(768, 24, 4, 1), (24, 768, 12, 2)])
def test_parameters_are_rank_times_k_plus_d_and_n_cubed_and_the_bias(k, d, n, rank):
    layer = LPHMDense(d, n=n, rank=rank)
    layer.build((None, k))
    assert layer.count_params() == rank * (k + d) + n**3 + d
    without = LPHMDense(d, n=n, rank=rank, use_bias=False)
    without.build((None, k))
    assert without.bias is None
    assert without.count_params() == rank * (k + d) + n**3


def test_a_shared_rule_counts_once_in_a_model():
    rule = HypercomplexRule(4)
    first, second = LPHMDense(8, n=4, rule=rule), LPHMDense(16, n=4, rule=rule)
    model = keras.Sequential([keras.Input((16,)), first, second])
    assert model.count_params() == 2 * (16 + 8) + 8 + 16 + 4**3
    assert first.rule is second.rule is rule


@pytest.mark.parametrize("contract", [True, False])
def test_without_bias_it_is_linear(contract):
    layer = filled(LPHMDense(4, n=2, use_bias=False, contract=contract), 6)
    assert not exact(layer(np.zeros((1, 6), "float32"))).any()


def test_initial_values():
    k, d, n, rank = 4_800, 2_400, 24, 2
    layer = LPHMDense(d, n=n, rank=rank)
    layer.build((None, k))
    assert exact(layer.rule.A).std() == pytest.approx(1e-4, rel=0.05)
    for stack, dimension in ((layer.s, k), (layer.t, d)):
        limit = math.sqrt(2) * math.sqrt(6 / (dimension / n + rank))
        for factor in exact(stack):
            assert 0.9 * limit < np.abs(factor).max() <= limit * (1 + 1e-6)
            assert factor.std() == pytest.approx(limit / math.sqrt(3), rel=0.2)
    assert not exact(layer.bias).any()


def test_s_and_t_of_one_initializer_differ():
    layer = LPHMDense(4, n=4, rank=1)
    layer.build((None, 4))  # s and t have the same shape
    assert not np.array_equal(exact(layer.s), exact(layer.t))


def test_initializers_can_be_given():
    layer = LPHMDense(4, n=2, factor_initializer="ones", bias_initializer="ones")
    layer.build((None, 6))
    for variable in (layer.s, layer.t, layer.bias):
        assert (exact(variable) == 1).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "`n` must be an integer of at least 1. Received: 0"),
        ({"n": True}, "`n` must be an integer of at least 1. Received: True"),
        ({"n": 2.0}, "`n` must be an integer of at least 1. Received: 2.0"),
        ({"n": "4"}, "`n` must be an integer of at least 1. Received: '4'"),
        ({"rank": 0}, "`rank` must be an integer of at least 1. Received: 0"),
        ({"rank": True}, "`rank` must be an integer of at least 1. Received: True"),
        ({"rank": 1.0}, "`rank` must be an integer of at least 1. Received: 1.0"),
        ({"units": 0}, "`units` must be an integer of at least 1. Received: 0"),
        ({"units": 10}, "`units` must be divisible by the hypercomplex division n=4. "
                        "Received: units=10 (10 % 4 = 2)"),
        ({"rule": HypercomplexRule(2)}, "`rule` must have n=4, as the layer. Received: rule.n=2"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_named(changes, message):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        LPHMDense(**{"units": 8, "n": 4, **changes})
    assert message in str(error.value)


def test_an_input_dimension_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="`k` must be divisible") as error:
        LPHMDense(8, n=4)(inputs(1, 6))
    assert "n=4" in str(error.value)
    assert "Received: k=6 (6 % 4 = 2)" in str(error.value)


def test_config_round_trip():
    layer = LPHMDense(
        6,
        n=3,
        rank=2,
        rule=HypercomplexRule(3, initializer="ones"),
        use_bias=False,
        contract=True,
        factor_initializer=keras.initializers.RandomNormal(seed=2),
        name="projection",
    )
    again = LPHMDense.from_config(layer.get_config())
    assert (again.name, again.units, again.n, again.rank) == ("projection", 6, 3, 2)
    assert (again.use_bias, again.contract) == (False, True)
    x = inputs(2, 9)
    np.testing.assert_array_equal(exact(again(x)), exact(layer(x)))


@pytest.mark.parametrize("contract", [True, False])
def test_mixed_precision_keeps_float32_weights(contract):
    layer = filled(LPHMDense(8, n=4, contract=contract, dtype="mixed_bfloat16"), 12)
    x = inputs(3, 12)
    y = layer(x)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert {variable.dtype for variable in layer.weights} == {"float32"}
    expected = x @ expected_kernel(*weights_of(layer)) + exact(layer.bias)
    np.testing.assert_allclose(exact(y), expected, rtol=0, atol=0.02 * np.abs(expected).max())


@pytest.mark.parametrize("contract", [True, False])
def test_it_works_in_a_functional_model_of_unknown_batch_and_length(contract):
    layer = LPHMDense(4, n=2, contract=contract)
    given = keras.Input((None, 6))
    model = keras.Model(given, layer(given))
    assert model.output_shape == (None, None, 4)
    filled(layer, 6)
    x = inputs(3, 5, 6)
    expected = x @ expected_kernel(*weights_of(layer)) + exact(layer.bias)
    np.testing.assert_allclose(exact(model(x)), expected, rtol=1e-5, atol=1e-4)


def sharing_model():
    rule = HypercomplexRule(2)
    layers = [LPHMDense(units, n=2, rule=rule) for units in (4, 8, 6)]
    return filled(keras.Sequential([keras.Input((6,)), *layers]), 6)


def test_a_shared_rule_is_one_after_saving_and_after_saving_again(tmp_path):
    model = sharing_model()
    x = inputs(4, 6)
    for number in (1, 2):
        path = tmp_path / f"{number}.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
        assert len({id(layer.rule) for layer in loaded.layers}) == 1
        assert len(loaded.trainable_variables) == 1 + 3 * 3
        assert loaded.count_params() == model.count_params()
        np.testing.assert_array_equal(exact(loaded(x)), exact(model(x)))
        model = loaded


def test_a_loaded_shared_rule_trains_as_one(tmp_path):
    sharing_model().save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.compile(optimizer=keras.optimizers.SGD(1e-3), loss="mse")
    loaded.fit(inputs(4, 6), np.zeros((4, 6)), verbose=0)
    A = [exact(layer.rule.A) for layer in loaded.layers]
    assert np.array_equal(A[0], A[1])
    assert np.array_equal(A[0], A[2])
    assert not np.array_equal(A[0], exact(sharing_model().layers[0].rule.A))


def test_two_models_loaded_from_one_file_share_nothing(tmp_path):
    sharing_model().save(tmp_path / "model.keras")
    first, second = (keras.models.load_model(tmp_path / "model.keras") for _ in range(2))
    x = inputs(4, 6)
    before = exact(second(x))
    assert first.layers[0].rule is not second.layers[0].rule
    first.layers[0].rule.A.assign(np.zeros((2, 2, 2)))
    np.testing.assert_array_equal(exact(second(x)), before)
    assert not np.array_equal(exact(first(x)), before)

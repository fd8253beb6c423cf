"""`Adapter` against equation 2 by hand, nested layers through saving, another Keras backend."""

import importlib.metadata
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import torch
from compacter_layers import Adapter, HypercomplexRule, LPHMDense, PHMDense, gelu_tanh

K, D, N = 8, 4, 2
KINDS = ["dense", "phm", "lphm"]


def make(kind, rule=None, d=D, k=K, **changes):
    """An adapter of one kind, its weights drawn anew and of order one."""
    makers = {
        "dense": keras.layers.Dense,
        "phm": lambda units: PHMDense(units, n=N, rule=rule),
        "lphm": lambda units: LPHMDense(units, n=N, rank=2, rule=rule),
    }
    adapter = Adapter(down=makers[kind](d), up=makers[kind](k), **changes)
    adapter.build((None, k))
    return randomised(adapter)


def randomised(layer, seed=0):
    generator = np.random.default_rng(seed)
    for variable in layer.weights:
        variable.assign(generator.standard_normal(variable.shape))
    return layer


def inputs(*shape):
    return np.random.default_rng(9).standard_normal(shape).astype("float32")


def exact(value):
    return keras.ops.convert_to_numpy(value).astype("float64")


def kernel_of(projection):
    """The projection's kernel as a Kronecker sum written out, or as it is for a dense one."""
    if isinstance(projection, keras.layers.Dense):
        return exact(projection.kernel)
    B = exact(projection.B) if isinstance(projection, PHMDense) else None
    B = exact(projection.s) @ exact(projection.t) if B is None else B
    return sum(np.kron(A_i, B_i) for A_i, B_i in zip(exact(projection.rule.A), B, strict=True))


def tanh_gelu(x):
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def equation_2(adapter, x, activation=tanh_gelu):
    down = x @ kernel_of(adapter.down) + exact(adapter.down.bias)
    return activation(down) @ kernel_of(adapter.up) + exact(adapter.up.bias) + x


@pytest.mark.parametrize("kind", KINDS)
def test_output_is_that_of_equation_2(kind):
    adapter = make(kind)
    x = inputs(3, 5, K)
    y = exact(adapter(x))
    assert y.shape == x.shape == adapter.compute_output_shape(x.shape)
    np.testing.assert_allclose(y, equation_2(adapter, x), rtol=1e-5, atol=1e-4)


def test_gelu_is_the_tanh_form_and_not_the_exact_one():
    x = np.linspace(-4, 4, 41).astype("float32")
    found = exact(gelu_tanh(keras.ops.convert_to_tensor(x)))
    np.testing.assert_allclose(found, tanh_gelu(x.astype("float64")), atol=1e-6)
    assert np.abs(found - exact(keras.activations.gelu(x, approximate=False))).max() > 1e-4


def test_another_activation_replaces_gelu():
    adapter = make("dense", activation="relu")
    x = inputs(3, K)
    expected = equation_2(adapter, x, activation=lambda value: np.maximum(value, 0))
    np.testing.assert_allclose(exact(adapter(x)), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_with_a_zero_up_projection_only_the_residual_is_left(kind):
    adapter = make(kind)
    for variable in adapter.up.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    x = inputs(3, K)
    np.testing.assert_array_equal(exact(adapter(x)), x.astype("float64"))


def test_gradients_reach_both_projections_and_the_input():
    adapter = make("dense")
    x = torch.tensor(inputs(3, K), requires_grad=True)
    mine = [x, *(v.value for v in (adapter.down.kernel, adapter.down.bias,
                                   adapter.up.kernel, adapter.up.bias))]  # fmt: skip
    found = torch.autograd.grad((adapter(x) ** 2).sum(), mine)
    theirs = [tensor.detach().double().requires_grad_() for tensor in mine]
    x2, W1, b1, W2, b2 = theirs
    inner = torch.nn.functional.gelu(x2 @ W1 + b1, approximate="tanh")
    wanted = torch.autograd.grad(((inner @ W2 + b2 + x2) ** 2).sum(), theirs)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_an_up_projection_to_another_dimension_is_an_error(kind):
    with pytest.raises(ValueError, match="`up` must return to the input's dimension 8") as error:
        Adapter(down=make(kind).down, up=make(kind, k=6).up)(inputs(2, K))
    assert "Received: `up` with output dimension 6" in str(error.value)


def test_parameters_of_an_adapter_with_a_shared_rule():
    adapter = make("lphm", HypercomplexRule(N))
    assert adapter.count_params() == 2 * 2 * (K + D) + N**3 + K + D
    assert len(adapter.trainable_variables) == 7  # A once


def test_config_round_trip():
    adapter = Adapter(
        down=LPHMDense(D, n=N, factor_initializer="ones"),
        up=keras.layers.Dense(K, kernel_initializer="ones"),
        activation="relu",
        name="mixed",
    )
    again = Adapter.from_config(adapter.get_config())
    assert again.name == "mixed"
    assert isinstance(again.down, LPHMDense)
    assert (again.down.units, again.down.n) == (D, N)
    assert isinstance(again.up, keras.layers.Dense)
    assert again.activation is keras.activations.relu
    default = Adapter(down=keras.layers.Dense(D), up=keras.layers.Dense(K))
    assert Adapter.from_config(default.get_config()).activation is gelu_tanh


def sharing_model(kind="lphm"):
    """Two adapters in a row: four projections, one rule."""
    rule = HypercomplexRule(N)
    adapters = [make(kind, rule, name=name) for name in ("first", "second")]
    return randomised(keras.Sequential([keras.Input((K,)), *adapters]))


def rules_of(model):
    return [getattr(a, side).rule for a in model.layers for side in ("down", "up")]


@pytest.mark.parametrize("kind", ["phm", "lphm"])
def test_a_rule_shared_across_adapters_is_one_after_saving(tmp_path, kind):
    model = sharing_model(kind)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert len({id(rule) for rule in rules_of(model)}) == 1
    assert len({id(rule) for rule in rules_of(loaded)}) == 1
    assert loaded.count_params() == model.count_params()
    x = inputs(4, K)
    np.testing.assert_array_equal(exact(loaded(x)), exact(model(x)))

    before = exact(loaded(x))
    rules_of(loaded)[0].A.assign(np.ones((N, N, N)))
    rules_of(model)[3].A.assign(np.ones((N, N, N)))
    np.testing.assert_array_equal(exact(loaded(x)), exact(model(x)))
    assert not np.array_equal(exact(loaded(x)), before)


def test_two_models_loaded_from_one_file_share_nothing(tmp_path):
    sharing_model().save(tmp_path / "model.keras")
    first, second = (keras.models.load_model(tmp_path / "model.keras") for _ in range(2))
    x = inputs(4, K)
    before = exact(second(x))
    rules_of(first)[0].A.assign(np.zeros((N, N, N)))
    np.testing.assert_array_equal(exact(second(x)), before)
    assert not np.array_equal(exact(first(x)), before)


def test_two_groups_with_a_rule_each_stay_two_after_saving(tmp_path):
    one, other = HypercomplexRule(N), HypercomplexRule(N)
    adapters = [make("lphm", one), make("lphm", other), make("lphm", one)]
    model = randomised(keras.Sequential([keras.Input((K,)), *adapters]))
    model.save(tmp_path / "model.keras")
    rules = rules_of(keras.models.load_model(tmp_path / "model.keras"))
    assert [rule is rules[0] for rule in rules] == [True, True, False, False, True, True]
    assert rules[2] is rules[3]
    np.testing.assert_array_equal(exact(rules[2].A), exact(other.A))


ON_ANOTHER_BACKEND = """
import keras, numpy as np
from compacter_layers import Adapter, HypercomplexRule, LPHMDense, PHMDense

draw = np.random.default_rng(0).standard_normal
exact = lambda value: keras.ops.convert_to_numpy(value).astype("float64")
gelu = lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
x = draw((3, 5, 8)).astype("float32")


def kernel(layer):
    B = exact(layer.B) if isinstance(layer, PHMDense) else exact(layer.s) @ exact(layer.t)
    return sum(np.kron(a, b) for a, b in zip(exact(layer.rule.A), B))


for down, up in (
    (PHMDense(4, n=2), PHMDense(8, n=2)),
    *(
        [LPHMDense(units, n=2, rank=2, rule=rule, contract=contract) for units in (4, 8)]
        for contract in (True, False, None)
        for rule in (HypercomplexRule(2),)
    ),
):
    adapter = Adapter(down, up)
    adapter.build(x.shape)
    for variable in adapter.weights:
        variable.assign(draw(variable.shape))
    inner = x @ kernel(down) + exact(down.bias)
    np.testing.assert_allclose(exact(down(x)), inner, rtol=1e-4, atol=1e-4)
    y = gelu(inner) @ kernel(up) + exact(up.bias) + x
    np.testing.assert_allclose(exact(adapter(x)), y, rtol=1e-4, atol=1e-3)
    given = keras.Input((None, 8))
    model = keras.Model(given, adapter(given))
    model.compile(optimizer="sgd", loss="mse")
    before = [exact(variable) for variable in model.trainable_variables]
    model.fit(x, x, verbose=0)
    for one, other in zip(before, model.trainable_variables):
        assert not np.array_equal(one, exact(other)), other.path
import sys
print(keras.backend.backend(), "torch" in sys.modules)
"""


@pytest.mark.slow
def test_layers_work_on_tensorflow_without_torch():
    try:
        importlib.metadata.version("tensorflow")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("TensorFlow is not installed")
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [sys.executable, "-c", ON_ANOTHER_BACKEND],
        env=environment, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["tensorflow", "False"]

"""`adapter`: Houlsby's dense bottlenecks: counts, sites, initial values, settings."""

import math

import keras
import numpy as np
import pytest

from compacter_cli.errors import RecipeError
from compacter_cli.methods import METHODS
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import shape_of_backbone
from compacter_cli.t5.shapes import PAPER_ROWS, T5Shape, shape_of

Adapter = METHODS["adapter"]
BASE = shape_of("t5_base_multi")
SMALL = T5Shape(64, 32, 48, 2, 4, 8)


def test_parameters_on_t5_base():
    assert Adapter().count(BASE) == {
        "adapters": 48 * 2 * 768 * 24,
        "rule": 0,
        "biases": 48 * (768 + 24),
        "layer_norms": 47_616,
    }
    assert sum(Adapter().count(BASE).values()) == 1_855_104
    percent = 100 * 1_855_104 / BASE.parameters(rows=PAPER_ROWS)
    assert f"{percent:.4f}" == "0.8323"


@pytest.mark.parametrize("d", [24, 48, 96])
def test_the_paper_s_formula_is_2_l_2_k_d(d):
    L, k = 24, 768
    assert Adapter(bottleneck=d).closed_form(BASE) == 2 * L * (2 * k * d)


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
def test_the_count_is_that_of_the_built_model(tiny_backbone, kind):
    backbone, method = tiny_backbone(kind, num_layers=2), Adapter(bottleneck=5)
    model = T5Model(backbone, method)
    trained = sum(tensor.numel() for tensor in model.trained_tensors().values())
    assert trained == sum(method.count(shape_of_backbone(backbone)).values())
    norms = [n for n in model.trained if n.endswith("layer_norm")]
    assert len(norms) == 5 * 2 + 2
    sizes = {n: model.named_weights[n].value.numel() for n in model.trained}
    counts = method.count(shape_of_backbone(backbone))
    assert sum(sizes[n] for n in norms) == counts["layer_norms"]
    assert sum(v for n, v in sizes.items() if n.endswith(".kernel")) == counts["adapters"]
    assert sum(v for n, v in sizes.items() if n.endswith(".bias")) == counts["biases"]


def test_sites_are_both_sublayers_of_every_block():
    assert Adapter().sites(SMALL) == [
        "encoder.0.self_attention", "encoder.0.feed_forward",
        "encoder.1.self_attention", "encoder.1.feed_forward",
        "decoder.0.self_attention", "decoder.0.feed_forward",
        "decoder.1.self_attention", "decoder.1.feed_forward",
    ]  # fmt: skip
    assert len(Adapter().sites(BASE)) == 48


def test_layers_sit_at_the_sites_and_go_down_and_up():
    layers = Adapter(bottleneck=6).build(SMALL, seed=0)
    assert list(layers) == [f"{site}.adapter" for site in Adapter().sites(SMALL)]
    for layer in layers.values():
        assert tuple(layer.down.kernel.shape) == (32, 6)
        assert tuple(layer.up.kernel.shape) == (6, 32)


def test_initial_values_are_small_and_biases_zero():
    layers = Adapter(bottleneck=48).build(T5Shape(64, 256, 48, 1, 4, 8), seed=0)
    for layer in layers.values():
        for projection in (layer.down, layer.up):
            kernel = projection.kernel.numpy()
            assert kernel.std() == pytest.approx(0.01, rel=0.05)
            assert abs(kernel.mean()) < 0.001
            assert not projection.bias.numpy().any()
    kernels = [p.kernel.numpy().ravel()[:50] for layer in layers.values()
               for p in (layer.down, layer.up)]  # fmt: skip
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels)  # no two alike


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("gelu_tanh", lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi)
                                                        * (x + 0.044715 * x**3)))),
        ("gelu", lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2)))),
        ("relu", lambda x: max(x, 0.0)),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        ("tanh", math.tanh),
        ("sigmoid", lambda x: 1 / (1 + math.exp(-x))),
        ("elu", lambda x: x if x > 0 else math.exp(x) - 1),
        ("softplus", lambda x: math.log1p(math.exp(x))),
        ("linear", lambda x: x),
    ],
)  # fmt: skip
def test_the_activation_is_the_one_named(activation, expected):
    shape = T5Shape(64, 8, 48, 1, 4, 8)
    layer = Adapter(bottleneck=4, activation=activation).build(shape, 0)[
        "encoder.0.feed_forward.adapter"
    ]
    x = np.linspace(-3, 3, 13).astype("float32")
    found = keras.ops.convert_to_numpy(layer.activation(keras.ops.convert_to_tensor(x)))
    np.testing.assert_allclose(found, [expected(float(value)) for value in x], atol=1e-6)


def test_leaky_relu_is_known_too():
    layers = Adapter(bottleneck=4, activation="leaky_relu").build(SMALL, 0)
    activation = layers["encoder.0.feed_forward.adapter"].activation
    assert activation is keras.activations.leaky_relu


def test_settings_of_the_paper():
    assert Adapter().learning_rate == 3e-4
    assert not Adapter().prefixes_task
    assert not Adapter().trains_in_place
    assert Adapter().settings() == {
        "name": "adapter", "bottleneck": 24, "activation": "gelu_tanh",
        "after": "both", "dropped_blocks": 0, "train_layer_norms": True,
        "train_output_layer": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [{"bottleneck": 0}, {"bottleneck": -1}, {"bottleneck": "24"}, {"bottleneck": 24.0},
     {"bottleneck": True}, {"activation": "gelu_new"}, {"n": 4}, {"rank": 1}, {"name": "full"}],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(changes):
    with pytest.raises(RecipeError):
        Adapter(**changes)


def test_any_bottleneck_fits_any_backbone():
    assert Adapter(bottleneck=7).problems(BASE) == []

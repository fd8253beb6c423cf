"""Every layer on JAX and on TensorFlow: the values of numpy, through `fit`, saving and loading."""

import importlib.metadata
import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.jax, pytest.mark.slow]

LAYERS = """
import json, sys, tempfile, warnings
import compacter_layers as layers
import keras, numpy as np

draw = np.random.default_rng(0)
x = draw.standard_normal((2, 3, 8)).astype("float32")


def values(layer):
    \"\"\"The layer's weights by name, each given a value of its own.\"\"\"
    found = {}
    for variable in layer.weights:
        variable.assign(draw.standard_normal(variable.shape).astype("float32"))
        found[variable.name] = keras.ops.convert_to_numpy(variable)
    return found


def kron(a, factors):
    return sum(np.kron(one, other) for one, other in zip(a, factors))


def dense(w):
    return kron(w["A"], w["B"]) if "B" in w else kron(w["A"], w["s"] @ w["t"])


rule = layers.HypercomplexRule(2)
CASES = {
    "AddedBias": (layers.AddedBias(), lambda w: x + w["bias"]),
    "AddedScale": (layers.AddedScale(), lambda w: x * w["factor"]),
    "KroneckerDelta": (layers.KroneckerDelta(6, rows=4, columns=3, scaling=2.0),
                       lambda w: x @ (2 * np.kron(w["A"], w["B"]))),
    "LowRankDelta": (layers.LowRankDelta(6, rank=2, scaling=0.5),
                     lambda w: 0.5 * x @ w["A"] @ w["B"]),
    "LowRankDense": (layers.LowRankDense(6), lambda w: x @ w["s"] @ w["t"] + w["bias"]),
    "LPHMDelta": (layers.LPHMDelta(6, n=2, rule=rule), lambda w: x @ dense(w)),
    "LPHMDense": (layers.LPHMDense(6, n=2, rank=2), lambda w: x @ dense(w) + w["bias"]),
    "LPHMDense contracted": (layers.LPHMDense(6, n=2, contract=True),
                             lambda w: x @ dense(w) + w["bias"]),
    "PHMDense": (layers.PHMDense(6, n=2), lambda w: x @ dense(w) + w["bias"]),
    "SoftPrompt": (layers.SoftPrompt(4),
                   lambda w: np.concatenate([np.stack([w["prompt"]] * 2), x], axis=1)),
}
told = {}
for name, (layer, expected) in CASES.items():
    layer(x)
    wanted = expected(values(layer))
    error = float(np.abs(keras.ops.convert_to_numpy(layer(x)) - wanted).max())
    told[name] = error / float(np.abs(wanted).max())

down, up = layers.LPHMDense(4, n=2, rule=rule), layers.LPHMDense(8, n=2, rule=rule)
adapter = layers.Adapter(down, up)
adapter(x)
values(down), values(up)
w, v = ({k.name: keras.ops.convert_to_numpy(k) for k in side.weights} for side in (down, up))
h = x @ dense(w) + w["bias"]
h = 0.5 * h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3)))
wanted = h @ dense(v) + v["bias"] + x
told["Adapter"] = float(np.abs(keras.ops.convert_to_numpy(adapter(x)) - wanted).max())

model = keras.Sequential([keras.Input((3, 8)), adapter])
model.compile("sgd", "mse")
first = model.fit(x, x * 2, epochs=4, verbose=0).history["loss"]
told["falls"] = first[-1] < first[0]
with tempfile.TemporaryDirectory() as folder:
    model.save(folder + "/it.keras")
    again = keras.saving.load_model(folder + "/it.keras")
told["loaded"] = float(np.abs(again.predict(x, verbose=0) - model.predict(x, verbose=0)).max())
told["one rule"] = again.layers[-1].down.rule is again.layers[-1].up.rule
for name in ("FastfoodProjection", "IntrinsicSubspace"):
    try:
        getattr(layers, name)
    except RuntimeError as error:
        told[name] = str(error)
missing = set(layers.__all__) - {name.split()[0] for name in told}
print(json.dumps([keras.config.backend(), told, sorted(missing)]))
"""


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_every_layer_has_the_values_of_numpy_on_another_backend(backend):
    try:
        importlib.metadata.version(backend)  # its module is hidden here
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{backend} is not installed")
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", LAYERS], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    found, told, missing = json.loads(done.stdout.splitlines()[-1])
    assert found == backend
    for name in ("FastfoodProjection", "IntrinsicSubspace"):
        assert f"{name} is computed by torch alone. Received: Keras on {backend}" in told.pop(name)
    assert told.pop("falls") is True
    assert told.pop("one rule") is True
    assert {name: error for name, error in told.items() if not error < 1e-5} == {}
    # The rule has no value of its own, and two names are no layers.
    assert missing == ["HypercomplexRule", "SliceGlorotUniform", "gelu_tanh"]

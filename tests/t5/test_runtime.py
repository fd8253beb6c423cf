import contextlib
import json
import os
import random
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.t5 import runtime
from compacter_cli.t5.runtime import (
    hide_tensorflow,
    on_device,
    seed_everything,
    start_keras,
    tensorflow_as_installed,
)


def in_a_new_process(code, **environment):
    """What `code` prints, as JSON, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done


# Backends.


@pytest.mark.slow
def test_keras_is_torch_and_float32_whatever_its_surroundings_say(tmp_path):
    settings = {"backend": "tensorflow", "floatx": "float16", "image_data_format": "channels_first"}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    found, done = in_a_new_process(
        """
        import json, sys
        from compacter_cli.t5.runtime import hide_tensorflow, start_keras
        hide_tensorflow()  # it takes long
        keras = start_keras()
        assert start_keras() is keras  # again, to no harm
        dense = keras.layers.Dense(2)
        dense.build((None, 3))
        print(json.dumps([
            keras.config.backend(), keras.config.floatx(), keras.config.dtype_policy().name,
            dense.kernel.dtype, type(dense.kernel.value).__module__, "keras_hub" in sys.modules,
        ]))
        """,
        KERAS_BACKEND="jax",
        KERAS_HOME=str(tmp_path),
    )
    assert found[:4] == ["torch", "float32", "float32", "float32"]
    assert found[4].startswith("torch")
    assert found[5] is True
    assert done.stderr == ""


def test_in_a_process_of_others_what_is_set_in_keras_stays(keras, monkeypatch):
    from compacter_cli import load_backbone

    monkeypatch.delitem(sys.modules, "tensorflow")  # hidden in the command line's own alone
    monkeypatch.setattr(runtime, "_keep_tensorflow_off_gpus", lambda: None)
    fresh = load_backbone("random/tiny")
    keras.config.set_floatx("float16")
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        found = load_backbone("random/tiny")
        assert keras.config.floatx() == "float16"
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    assert found.fingerprint == fresh.fingerprint
    assert found.keras.dtype_policy.name == "float32"


def test_another_backend_that_was_chosen_is_refused_before_keras_is_imported(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delitem(sys.modules, "keras")
    with pytest.raises(runtime.CompacterError, match="on torch, but keras runs on jax here"):
        start_keras()
    assert "keras" not in sys.modules


@pytest.mark.slow
def test_keras_loads_nothing_that_only_others_need_and_leaves_it_to_be_imported():
    (before, after), _ = in_a_new_process(
        """
        import importlib, json, sys
        from compacter_cli.t5.runtime import hide_tensorflow, start_keras
        hide_tensorflow()
        start_keras()
        names = ["matplotlib", "rouge_score", "sklearn"]
        before = [name in sys.modules for name in names]
        print(json.dumps([before, [importlib.import_module(name).__name__ for name in names]]))
        """
    )
    assert before == [False, False, False]
    assert after == ["matplotlib", "rouge_score", "sklearn"]


def test_what_is_hidden_while_keras_loads_stays_as_it_was(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.setitem(sys.modules, "sklearn", there := SimpleNamespace())
    monkeypatch.delitem(sys.modules, "rouge_score", raising=False)
    with runtime._without_extras():
        assert sys.modules["sklearn"] is there
        assert sys.modules["rouge_score"] is None
    assert sys.modules["sklearn"] is there
    assert "rouge_score" not in sys.modules


def test_in_a_process_of_others_nothing_is_hidden_from_keras(monkeypatch):
    monkeypatch.delitem(sys.modules, "tensorflow")
    monkeypatch.delitem(sys.modules, "rouge_score", raising=False)
    with runtime._without_extras():
        assert "rouge_score" not in sys.modules


def test_keras_on_another_backend_is_refused(keras, monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "numpy")
    with pytest.raises(runtime.CompacterError, match="on torch, but keras runs on numpy") as caught:
        start_keras()
    assert 'os.environ["KERAS_BACKEND"] = "torch"' in caught.value.hint


@pytest.mark.slow
def test_keras_imported_before_on_another_backend_is_refused():
    found, _ = in_a_new_process(
        """
        import json, os
        os.environ["KERAS_BACKEND"] = "tensorflow"  # the one that keras_hub installs
        import keras
        from compacter_cli.errors import CompacterError
        from compacter_cli.t5.runtime import start_keras
        try:
            start_keras()
        except CompacterError as error:
            print(json.dumps([str(error), error.hint]))
        """
    )
    assert "keras runs on tensorflow" in found[0]
    assert "KERAS_BACKEND" in found[1]


# TensorFlow.


def test_a_hidden_tensorflow_cannot_be_imported():
    hide_tensorflow()  # as tests/conftest.py did already
    assert sys.modules["tensorflow"] is None
    with pytest.raises(ImportError):
        import tensorflow  # noqa: F401


def test_an_imported_tensorflow_is_not_hidden(monkeypatch):
    imported = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "tensorflow", imported)
    hide_tensorflow()
    assert sys.modules["tensorflow"] is imported


def test_tensorflow_is_as_installed_inside_and_hidden_again_after():
    with tensorflow_as_installed():
        assert "tensorflow" not in sys.modules
    assert sys.modules["tensorflow"] is None
    with pytest.raises(RuntimeError), tensorflow_as_installed():
        raise RuntimeError
    assert sys.modules["tensorflow"] is None


def test_a_tensorflow_that_was_imported_inside_stays(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    imported = SimpleNamespace()
    with tensorflow_as_installed():
        sys.modules["tensorflow"] = imported
    assert sys.modules["tensorflow"] is imported


@pytest.mark.parametrize("error", [None, RuntimeError("initialised already")])
def test_a_tensorflow_that_keras_hub_imports_is_kept_off_the_gpus(monkeypatch, error):
    asked = []

    def set_visible_devices(devices, kind):
        asked.append((devices, kind))
        if error:
            raise error

    config = SimpleNamespace(set_visible_devices=set_visible_devices)
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(config=config))
    start_keras()
    assert asked == []  # somebody else's: it was imported before
    monkeypatch.delitem(sys.modules, "tensorflow")

    @contextlib.contextmanager
    def importing():
        yield
        sys.modules["tensorflow"] = SimpleNamespace(config=config)

    monkeypatch.setattr(runtime, "_without_extras", importing)
    start_keras()
    assert asked == [([], "GPU")]


# Devices and seeds.


def test_the_device_is_that_of_the_name(keras):
    with on_device("cpu") as name:
        assert name == "cpu"
        assert keras.ops.zeros(1).device.type == "cpu"


def test_the_device_is_a_gpu_where_there_is_one(keras):
    import torch

    with on_device(None) as name:
        assert name == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["tpu", "gpu", "CPU", "cpux", "mps", "cpu:3", "cpu:x", "cuda:99"])
def test_a_device_that_nobody_has_is_refused(keras, name):
    wanted = f"--device {name}: expected cpu or cuda"
    with pytest.raises(UsageError, match=wanted) as caught, on_device(name):
        pytest.fail("went on")
    assert "--device" in caught.value.hint


def test_cuda_is_refused_where_there_is_none(keras, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match=r"--device cuda:1.*sees no GPU here"), on_device("cuda:1"):
        pytest.fail("went on")


def test_a_seed_decides_all_three_generators():
    import numpy as np
    import torch

    def draws(seed):
        seed_everything(seed)
        return random.random(), float(np.random.rand()), torch.rand(1).item()

    assert draws(3) == draws(3)
    assert all(a != b for a, b in zip(draws(3), draws(4), strict=True))

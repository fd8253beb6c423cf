"""The layers on whatever backend Keras runs on, and on torch where nobody has said which."""

import importlib
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from compacter_layers import backend, checks


@pytest.fixture
def nothing_chosen(monkeypatch, tmp_path):
    """A process in which no backend was chosen, and keras not imported; gives Keras' home."""
    monkeypatch.delenv("KERAS_BACKEND")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "modules", {})
    return tmp_path


@pytest.mark.parametrize(
    ("said", "chosen"),
    [(None, "torch"), ("tensorflow", "torch"), ("jax", None), ("torch", None), ("[", "torch")],
)
def test_torch_is_taken_where_nobody_has_chosen(nothing_chosen, said, chosen):
    if said:
        text = said if said == "[" else json.dumps({"backend": said})
        (nothing_chosen / "keras.json").write_text(text, encoding="utf-8")
    backend.choose_backend()
    assert os.environ.get("KERAS_BACKEND") == chosen


@pytest.mark.parametrize("module", ["keras", "tensorflow"])
def test_what_is_imported_already_has_chosen(nothing_chosen, module):
    sys.modules[module] = SimpleNamespace()
    backend.choose_backend()
    assert "KERAS_BACKEND" not in os.environ


def test_a_backend_in_the_environment_stays(nothing_chosen, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    backend.choose_backend()
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_importing_the_layers_starts_no_tensorflow(tmp_path):
    code = (
        "import json, sys, compacter_layers, keras; "
        "print(json.dumps([keras.config.backend(), 'tensorflow' in sys.modules]))"
    )
    kept = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    for _ in range(2):  # the second time there is a keras.json, which Keras itself has written
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True,
            env={**kept, "KERAS_HOME": str(tmp_path)},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == ["torch", False]
        assert json.loads((tmp_path / "keras.json").read_text())["backend"] in (
            "tensorflow",
            "torch",
        )


def test_what_torch_alone_computes_says_so_on_another_backend(monkeypatch):
    layers = importlib.import_module("compacter_layers")
    monkeypatch.setattr("keras.config.backend", lambda: "jax")
    for name in ("FastfoodProjection", "IntrinsicSubspace"):
        with pytest.raises(RuntimeError, match=f"{name} is computed by torch alone.*Keras on jax"):
            getattr(layers, name)
    assert checks.check_torch

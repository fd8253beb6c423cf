"""Weights and manifests that somebody made up: one line each, no wait, none of their gigabytes."""

import hashlib
import json
import math
import os
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.adapters.attach import attach
from compacter_cli.adapters.manifest import read_manifest
from compacter_cli.adapters.predictor import Predictor
from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.main import app
from compacter_cli.pretraining.state import Progress, load_state, save_state
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.shapes import shape_of
from compacter_cli.t5.vocabulary import read_vocabulary

FIXTURES = Path(__file__).parents[1] / "fixtures"
ODD = [math.nan, math.inf, -math.inf]
DEEP = "[" * 5_000 + "]" * 5_000
LONG = "1" * 5_000


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture(scope="module")
def backbone(keras):
    with keras.device("cpu"):
        return load_backbone("random/tiny")


@pytest.fixture
def run(tmp_path):
    """A copy of a finished run, to be changed."""
    return shutil.copytree(FIXTURES / "run", tmp_path / "run")


@pytest.fixture
def best(run):
    return run / "best"


@pytest.fixture
def preset(tmp_path):
    """A copy of a pretrained backbone, to be changed."""
    return shutil.copytree(FIXTURES / "pretrained", tmp_path / "preset")


def sign(directory, data, **changes):
    """Other bytes as weights, and a manifest that vouches for them."""
    (directory / "adapter.safetensors").write_bytes(data)
    manifest = json.loads((directory / "adapter.json").read_text())
    manifest |= {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **changes}
    manifest.pop("manifest_sha256", None)
    (directory / "adapter.json").write_text(json.dumps(manifest))


def change_first(directory, change):
    """Put another tensor in the place of the first, whose name comes back."""
    tensors = load_adapter(directory).tensors
    name = min(tensors)
    sign(directory, safetensors.torch.save({**tensors, name: change(tensors[name].clone())}))
    return name


def with_value(value):
    def change(tensor):
        tensor.view(-1)[-1] = value
        return tensor

    return change


def refused(call, *words, kind=CompacterError):
    """The one line with which `call` ends, with `words` in it."""
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 700
    for word in words:
        assert word in message
    return message


# Weights that are no numbers.


@pytest.mark.parametrize("value", ODD)
def test_weights_that_are_not_finite_are_named(backbone, best, value):
    name = change_first(best, with_value(value))
    for use in (load_adapter, lambda it: Predictor(backbone, it)):
        refused(lambda use=use: use(best), "adapter.safetensors", "NaN or infinity", name)
    trainable = [variable.trainable for variable in backbone.keras.weights]
    refused(lambda: attach(backbone.keras, best), "NaN or infinity", name)
    assert [variable.trainable for variable in backbone.keras.weights] == trainable


def test_weights_whose_sum_overflows_are_finite(best):
    name = change_first(best, lambda tensor: torch.full_like(tensor, 3e38))
    assert load_adapter(best).tensors[name].max() > 2e38


@pytest.mark.parametrize(
    "args", [["evaluate"], ["predict", "--text", "sentence: iron apple zinc"]], ids=lambda a: a[0]
)
def test_a_command_on_weights_that_are_not_finite_fails_with_one_line(run, args):
    name = change_first(run / "best", with_value(math.nan))
    result = CliRunner().invoke(app, [*args, "--run", str(run), "--device", "cpu"])
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert name in lines[0]
    assert "Traceback" not in result.output


@pytest.mark.parametrize("dtype", [torch.float16, torch.int32, torch.complex64, torch.float64])
def test_other_types_than_the_manifest_s_are_refused_by_name(best, dtype):
    name = change_first(best, lambda tensor: tensor.to(dtype))
    kind = str(dtype).removeprefix("torch.")
    refused(lambda: load_adapter(best), name, kind, "expected float32")


def test_a_manifest_that_describes_another_type_is_refused(best):
    manifest = json.loads((best / "adapter.json").read_text())
    name = min(manifest["tensors"])
    manifest["tensors"][name]["dtype"] = "F16"
    sign(best, (best / "adapter.safetensors").read_bytes(), tensors=manifest["tensors"])
    refused(lambda: load_adapter(best), name, "is F32, described is F16")


def test_a_wrong_shape_is_told_as_two_shapes_and_no_values(best):
    name = change_first(best, lambda tensor: torch.full((3, 5), 0.12345))
    shape = read_manifest(best)["tensors"][name]["shape"]
    line = refused(lambda: load_adapter(best), name, "[3, 5]", str(shape))
    assert "0.123" not in line


def test_shapes_that_only_the_manifest_agrees_with_are_told_without_values(backbone, best):
    tensors = load_adapter(best).tensors
    # As many values as before, so that only the shape is wrong.
    name = next(name for name in sorted(tensors) if tensors[name].ndim > 1)
    tensors[name] = tensors[name].reshape(-1)
    described = {name: {"shape": list(t.shape), "dtype": "F32"} for name, t in tensors.items()}
    sign(best, safetensors.torch.save(tensors), tensors=described)
    for use in (lambda: Predictor(backbone, best), lambda: attach(backbone.keras, best)):
        line = refused(use, name, "has the shape", "expected")
        assert "tensor(" not in line


# Files that are not what they seem.


def header(text, rest=b""):
    return len(text).to_bytes(8, "little") + text + rest


@pytest.mark.parametrize(
    "data",
    [
        (2**62).to_bytes(8, "little"),
        header(b'{"w":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}'),
        header(b'{"w":{"dtype":"F32","shape":[4],"data_offsets":[0,4]}}', b"\0" * 4),
        header(DEEP.encode()),
        b"",
    ],
    ids=["endless header", "terabytes", "shape of more than its bytes", "nested", "empty"],
)
def test_a_header_that_lies_is_refused(best, data):
    sign(best, data)
    refused(lambda: load_adapter(best), "is no safetensors file")


def test_a_file_larger_than_its_manifest_says_is_not_read(best):
    with open(best / "adapter.safetensors", "r+b") as file:
        file.truncate(2**40)  # no disk is used: a file with a hole
    refused(lambda: load_adapter(best), "adapter.safetensors", "are not read")


def test_sizes_that_no_tensor_has_are_refused_in_the_manifest(best):
    manifest = json.loads((best / "adapter.json").read_text())
    name = min(manifest["tensors"])
    for shape in ([2**70], [-1], [1] * 100, [1.5]):
        tensors = {**manifest["tensors"], name: {"shape": shape}}
        sign(best, b"", tensors=tensors)
        refused(lambda: load_adapter(best), "adapter.json", "is damaged")


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replace_by_directory(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("replace", [replace_by_pipe, replace_by_directory])
@pytest.mark.parametrize("file", ["adapter.json", "adapter.safetensors"])
def test_what_is_no_file_in_an_adapter_is_refused_at_once(best, file, replace):
    replace(best / file)
    refused(lambda: load_adapter(best), file)


@pytest.mark.parametrize("replace", [replace_by_pipe, replace_by_directory])
@pytest.mark.parametrize(
    "file", ["config.json", "model.weights.h5", "assets/tokenizer/vocabulary.spm"]
)
def test_what_is_no_file_in_a_preset_is_refused_at_once(preset, file, replace):
    replace(preset / file)
    refused(lambda: load_backbone(str(preset)), str(preset))


def test_a_link_out_of_the_directory_is_not_followed(best, preset, tmp_path):
    for path in (best / "adapter.safetensors", preset / "assets/tokenizer/vocabulary.spm"):
        elsewhere = path.replace(tmp_path / f"elsewhere_{path.name}")
        path.symlink_to(elsewhere)
    refused(lambda: load_adapter(best), "outside of its directory")
    refused(lambda: read_vocabulary(preset), "outside of its directory")


# JSON without bounds.


@pytest.mark.parametrize("text", [DEEP, f'{{"version": {LONG}}}'], ids=["nested", "digits"])
def test_json_without_bounds_is_one_line(best, preset, tmp_path, text):
    (best / "adapter.json").write_text(text)
    refused(lambda: read_manifest(best), "adapter.json")
    (preset / "config.json").write_text(text)
    refused(lambda: shape_of(str(preset)), "config.json", kind=UsageError)
    save_state(tmp_path, Progress(3, 7.5, 6.25, 1.5, "abc"), {"a": torch.ones(2)}, b"pieces")
    (tmp_path / "state" / "state.json").write_text(text)
    refused(lambda: load_state(tmp_path), "is damaged")


# Backbones.


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("num_layers", 10**9),
        ("num_layers", "2"),
        ("num_layers", True),
        ("hidden_dim", 32.5),
        ("hidden_dim", -1),
        ("num_heads", 0),
        ("vocabulary_size", 10**18),
        ("key_value_dim", 0.5),
        ("dropout", "a lot"),
        ("use_gated_activation", 1),
        ("activation", {"class_name": "os.system"}),
        ("name", {"module": "os", "class_name": "system"}),
    ],
)
def test_a_config_that_no_t5_has_is_refused_before_anything_is_made(preset, key, value):
    path = preset / "config.json"
    saved = json.loads(path.read_text())
    saved["config"][key] = value
    path.write_text(json.dumps(saved))
    for read in (shape_of, load_backbone):
        refused(lambda read=read: read(str(preset)), "config.json", key, kind=UsageError)


def test_a_config_of_more_parameters_than_its_weights_is_refused_before_anything_is_made(preset):
    path = preset / "config.json"
    saved = json.loads(path.read_text())
    saved["config"] |= {"num_layers": 100, "hidden_dim": 8_192, "intermediate_dim": 8_192}
    path.write_text(json.dumps(saved))
    refused(lambda: load_backbone(str(preset)), "too few for the")


def test_a_config_of_more_parameters_than_any_t5_is_refused(preset):
    path = preset / "config.json"
    saved = json.loads(path.read_text())
    saved["config"] |= {"num_layers": 200, "hidden_dim": 2**20, "intermediate_dim": 2**20}
    path.write_text(json.dumps(saved))
    refused(lambda: shape_of(str(preset)), "are not tried", kind=UsageError)


@pytest.mark.parametrize("value", ODD)
def test_a_backbone_that_is_not_finite_is_refused_by_its_weight(preset, value):
    import h5py

    with h5py.File(preset / "model.weights.h5", "r+") as file:
        found = []
        file.visititems(
            lambda name, it: found.append(name) if isinstance(it, h5py.Dataset) else None
        )
        file[found[0]][...] = value
    refused(lambda: load_backbone(str(preset)), str(preset), "its weight ", "NaN or infinity")


@pytest.mark.parametrize("value", ODD)
def test_a_pretraining_state_that_is_not_finite_is_refused_by_its_tensor(tmp_path, value):
    tensors = {"weight/a": torch.tensor([1.0, value])}
    save_state(tmp_path, Progress(3, 7.5, 6.25, 1.5, "abc"), tensors, b"pieces")
    refused(lambda: load_state(tmp_path), "is damaged", "weight/a", "NaN or infinity")

"""A T5 from one form to another by the command; bad input is refused and leaves nothing."""

import json
import resource

import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from compacter_cli.adapters.manifest import read_manifest
from compacter_cli.adapters.restoring import recipe_with
from compacter_cli.commands.convert import convert_backbone
from compacter_cli.commands.convert_source import Source, find_source, target_of
from compacter_cli.commands.evaluate import evaluate
from compacter_cli.errors import UsageError
from compacter_cli.exchange import hf
from compacter_cli.exchange.trained import Plain
from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.shapes import DEMO_PRESET, local_directory
from compacter_cli.training.run import train


@pytest.fixture
def hugging_face(tiny_backbone, keras, tmp_path):
    """A directory of Hugging Face's, as wide as `random/tiny`."""
    place = tmp_path / "hf"
    place.mkdir()
    with keras.device("cpu"):
        backbone = tiny_backbone(vocabulary_size=len(tiny_vocabulary()), num_layers=1)
    hf.write(Plain(backbone, tiny_vocabulary()), place)
    return place


def call(*args):
    return CliRunner().invoke(app, ["convert", "--device", "cpu", *map(str, args)])


def refused(result, code):
    """The message of a command that ended in a line and a hint, and said nothing else."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: ")
    assert hint.startswith("next: ")
    return error


def test_what_was_made_is_told_and_is_the_same_t5(hugging_face, tmp_path):
    result = call(hugging_face, tmp_path / "made")
    assert result.exit_code == 0, result.output
    loaded = load_backbone(str(tmp_path / "made"))
    assert loaded.fingerprint == load_backbone(str(hugging_face)).fingerprint
    rows = len(tiny_vocabulary())
    assert result.stdout.splitlines()[:3] == [
        f"26 weight tensors ({loaded.keras.count_params():,} parameters), in float32; "
        f"{rows} pieces over {rows} rows of embedding",
        f"read again: the same fingerprint, {loaded.fingerprint[:12]}…; adapters of one load on "
        "the other",
        f"wrote {tmp_path / 'made'}; backbone.preset and KerasHub's from_preset take it",
    ]
    last = result.stdout.splitlines()[-1]
    assert last.endswith(f" --set backbone.preset={tmp_path / 'made'}")


def test_a_preset_becomes_hugging_faces_where_no_format_is_named(tmp_path):
    result = call(DEMO_PRESET, tmp_path / "made", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["to"], found["backbone"]) == ("hf", "demo/t5")
    assert found["parameters"] == 1_545_088
    assert (tmp_path / "made" / "spiece.model").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


def test_an_adapter_trained_on_one_form_scores_the_same_on_the_other(keras, tmp_path):
    convert_backbone(backbone="random/tiny", directory=tmp_path / "hf", to="hf", device="cpu")
    convert_backbone(backbone=str(tmp_path / "hf"), directory=tmp_path / "preset", to="keras-hub")
    sets = ["train.epochs=1", "train.warmup_steps=1", "data.max_train_samples=40"]
    sets.append(f"backbone.preset={tmp_path / 'hf'}")
    run = tmp_path / "run"
    train(recipe=load_recipe("demo/smoke_compacterpp", sets), directory=run, device="cpu")
    adapter, scores = run / "best", []
    for form in ("hf", "preset"):
        there = [f"backbone.preset={tmp_path / form}"]
        recipe = recipe_with(read_manifest(adapter), adapter, there)
        scores.append(evaluate(adapter=adapter, recipe=recipe, device="cpu")["metrics"])
    assert scores[0] == scores[1]


def test_a_home_directory_is_expanded(hugging_face, monkeypatch):
    monkeypatch.setenv("HOME", str(hugging_face.parent))
    assert find_source(f"~/{hugging_face.name}") == Source("hf", str(hugging_face))


def test_what_is_given_is_recognised(hugging_face, smoke_run, tmp_path):
    assert find_source(str(hugging_face)) == Source("hf", str(hugging_face))
    assert find_source(DEMO_PRESET).format == "keras-hub"
    assert find_source(str(local_directory(DEMO_PRESET))).format == "keras-hub"
    assert find_source("t5_base_multi") == Source("keras-hub", "t5_base_multi")
    best = Source("compacter", str(smoke_run / "best"))
    assert find_source(str(smoke_run)) == find_source(str(smoke_run / "best")) == best
    with pytest.raises(UsageError, match="is no run directory, no T5 and no adapter"):
        find_source(str(tmp_path))
    with pytest.raises(UsageError, match='"t5-base" is no KerasHub T5 preset'):
        find_source("t5-base")


def test_what_a_format_cannot_hold_is_refused():
    with pytest.raises(UsageError, match="x is a T5 without an adapter") as caught:
        target_of(Source("hf", "x"), "compacter")
    assert caught.value.hint == "it can be written as keras-hub or hf"
    with pytest.raises(UsageError, match="x is an adapter already"):
        target_of(Source("compacter", "x"), "compacter")
    with pytest.raises(UsageError, match="holds adapters"):
        convert_backbone(backbone=DEMO_PRESET, directory="never", to="compacter")


def test_what_is_of_adapters_alone_is_refused(hugging_face, tmp_path):
    error = refused(call(hugging_face, tmp_path / "made", "--set", "data.folder=x"), 2)
    assert f"--set is of adapters: {hugging_face} is a T5" in error
    error = refused(call(hugging_face, tmp_path / "made", "--recipe", "x"), 2)
    assert f"--recipe is of adapters: {hugging_face} is a T5" in error


def cut(place):
    path = place / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def without_weights(place):
    (place / "model.safetensors").unlink()


def with_half_a_config(place):
    text = (place / "config.json").read_text()
    (place / "config.json").write_text(text[: len(text) // 2])


def of_another_kind(place):
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "model_type": "bart"}))


def without_vocabulary(place):
    (place / "spiece.model").unlink()


def with_half_a_vocabulary(place):
    path = place / "spiece.model"
    path.write_bytes(path.read_bytes()[:100])


class Payload:
    """What a pickle runs where it is loaded as one."""

    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


def with_code(place):
    (place / "model.safetensors").unlink()
    torch.save({"shared.weight": Payload()}, place / "pytorch_model.bin")


def with_fewer_rows(place):
    tensors = safetensors.torch.load_file(place / "model.safetensors")
    tensors["shared.weight"] = tensors["shared.weight"][:30].clone()
    safetensors.torch.save_file(tensors, place / "model.safetensors")
    config = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**config, "vocab_size": 30}))


@pytest.mark.parametrize(
    ("damage", "code", "told"),
    [
        (cut, 1, "model.safetensors is damaged"),
        (without_weights, 3, "model.safetensors or pytorch_model.bin is missing"),
        (with_half_a_config, 2, "config.json: not the config of a T5"),
        (of_another_kind, 2, "a model of the type bart, expected t5 or mt5"),
        (without_vocabulary, 3, "spiece.model is missing"),
        (with_half_a_vocabulary, 2, "spiece.model: not a SentencePiece vocabulary, or cut short"),
        (with_code, 1, "is a pickle of more than tensors"),
        (with_fewer_rows, 1, "pieces, its embedding 30 rows"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(hugging_face, tmp_path, damage, code, told):
    damage(hugging_face)
    assert told in refused(call(hugging_face, tmp_path / "made"), code)
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


@pytest.fixture
def small_disk():
    """No file grows beyond 20 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("to", ["hf", "keras-hub"])
def test_a_full_disk_is_one_line_and_leaves_nothing(hugging_face, tmp_path, small_disk, to):
    error = refused(call(hugging_face, tmp_path / "made", "--to", to), 1)
    assert f"cannot write {tmp_path / 'made'}: File too large" in error
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]

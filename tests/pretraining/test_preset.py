"""The preset: KerasHub and compacter read it, in float32, the values as rounded."""

import json

import pytest
import torch

from compacter_cli.pretraining.preset import CONFIG, is_preset, move_into, write_preset
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.random_backbone import tiny_vocabulary


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture
def backbone(tiny_backbone):
    return tiny_backbone(vocabulary_size=len(tiny_vocabulary()), num_layers=1)


def values_of(backbone):
    from compacter_cli.t5.placement import backbone_weights

    return {name: v.value.detach() for name, v in backbone_weights(backbone).items()}


@pytest.mark.parametrize("precision", ["float32", "float16", "bfloat16"])
def test_every_weight_is_loaded_as_float32_rounded_to_the_precision(backbone, tmp_path, precision):
    write_preset(tmp_path / "p", backbone, tiny_vocabulary(), precision)
    loaded = load_backbone(str(tmp_path / "p"))
    dtype = getattr(torch, precision)
    for name, value in values_of(backbone).items():
        found = values_of(loaded.keras)[name]
        assert found.dtype == torch.float32
        assert torch.equal(found, value.to(dtype).float()), name
    assert loaded.vocabulary.sha256 == tiny_vocabulary().sha256


def test_the_file_stores_the_precision(backbone, tmp_path):
    import h5py

    write_preset(tmp_path / "p", backbone, tiny_vocabulary(), "float16")
    kinds = set()
    with h5py.File(tmp_path / "p" / "model.weights.h5") as file:
        file.visititems(lambda _, item: kinds.add(str(getattr(item, "dtype", None))))
    assert kinds == {"float16", "None"}


# KerasHub leaves the vocabulary's file open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_keras_hub_makes_a_model_of_it_that_computes_in_float32(backbone, tmp_path):
    import keras_hub

    write_preset(tmp_path / "p", backbone, tiny_vocabulary(), "float16")
    model = keras_hub.models.T5Seq2SeqLM.from_preset(str(tmp_path / "p"))
    assert model.backbone.compute_dtype == "float32"
    assert {variable.dtype for variable in model.backbone.weights} == {"float32"}
    tokenizer = model.preprocessor.tokenizer
    assert list(tokenizer("a fruit: apple")) == tiny_vocabulary().encode(["a fruit: apple"])[0]


def test_the_config_is_moved_last_and_what_was_moved_before_is_replaced(backbone, tmp_path):
    write_preset(tmp_path / "fresh", backbone, tiny_vocabulary(), "float32")
    place = tmp_path / "place"
    (place / "assets" / "old").mkdir(parents=True)  # of an attempt that was killed
    (place / "recipe.toml").write_text("mine")
    assert not is_preset(place)
    move_into(place, tmp_path / "fresh")
    assert is_preset(place)
    assert not (place / "assets" / "old").exists()
    assert (place / "recipe.toml").read_text() == "mine"
    assert not (tmp_path / "fresh").exists()
    load_backbone(str(place))


def test_a_move_that_is_cut_short_leaves_no_preset_but_can_be_done_again(
    backbone, tmp_path, monkeypatch
):
    import os

    moved, replace = [], os.replace

    def cut_short(source, target):
        if len(moved) == 3:
            raise KeyboardInterrupt
        moved.append(target.name)
        replace(source, target)

    write_preset(tmp_path / "fresh", backbone, tiny_vocabulary(), "float32")
    names = {path.name for path in (tmp_path / "fresh").iterdir()}
    (tmp_path / "place").mkdir()
    monkeypatch.setattr("os.replace", cut_short)
    with pytest.raises(KeyboardInterrupt):
        move_into(tmp_path / "place", tmp_path / "fresh")
    monkeypatch.undo()
    assert len(names) > len(moved)
    assert CONFIG not in moved
    assert not is_preset(tmp_path / "place")
    write_preset(tmp_path / "again", backbone, tiny_vocabulary(), "float32")
    move_into(tmp_path / "place", tmp_path / "again")
    assert {path.name for path in (tmp_path / "place").iterdir()} == names


def test_the_config_names_the_dimensions(backbone, tmp_path):
    from compacter_cli.t5.placement import shape_of_backbone
    from compacter_cli.t5.shapes import shape_of

    write_preset(tmp_path / "p", backbone, tiny_vocabulary(), "bfloat16")
    assert shape_of(str(tmp_path / "p")) == shape_of_backbone(backbone)
    config = json.loads((tmp_path / "p" / CONFIG).read_text())
    assert config["class_name"] == "T5Backbone"

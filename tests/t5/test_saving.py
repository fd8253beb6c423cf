"""The preset: KerasHub and compacter read it, in float32, the values as rounded."""

import json

import pytest
import torch

from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.saving import write_preset
from compacter_cli.t5.shapes import CONFIG


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


def test_the_config_names_the_dimensions(backbone, tmp_path):
    from compacter_cli.t5.placement import shape_of_backbone
    from compacter_cli.t5.shapes import shape_of

    write_preset(tmp_path / "p", backbone, tiny_vocabulary(), "bfloat16")
    assert shape_of(str(tmp_path / "p")) == shape_of_backbone(backbone)
    config = json.loads((tmp_path / "p" / CONFIG).read_text())
    assert config["class_name"] == "T5Backbone"

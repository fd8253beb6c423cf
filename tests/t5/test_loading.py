import json
import os
import shutil

import pytest
import torch

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.t5.loading import fingerprint_of, load_backbone


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """A kagglehub cache with nothing in it."""
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def tiny(keras):
    with keras.device("cpu"):
        return load_backbone("random/tiny")


@pytest.fixture(scope="module")
def saved_preset(tiny, tmp_path_factory):
    """`random/tiny` as KerasHub saves a preset."""
    directory = tmp_path_factory.mktemp("presets") / "saved_tiny"
    tiny.keras.save_to_preset(str(directory))
    (directory / "assets" / "tokenizer").mkdir(parents=True)
    (directory / "assets" / "tokenizer" / "vocabulary.spm").write_bytes(tiny.vocabulary.proto)
    return directory


@pytest.fixture
def preset(saved_preset, tmp_path):
    """A copy of the saved preset, to be changed."""
    return shutil.copytree(saved_preset, tmp_path / "my_preset")


def weights_of(backbone):
    from compacter_cli.t5.placement import backbone_weights

    return {n: v.value.detach() for n, v in backbone_weights(backbone.keras).items()}


# Loading.


def test_a_loaded_backbone_is_float32_with_its_vocabulary(tiny):
    assert tiny.preset == "random/tiny"
    assert {tensor.dtype for tensor in weights_of(tiny).values()} == {torch.float32}
    assert tiny.exact == {}
    assert tiny.vocabulary.decode(tiny.vocabulary.encode(["a fruit: apple"])[0])
    assert len(tiny.fingerprint) == 64


def test_bfloat16_rounds_every_weight_and_keeps_the_norms_exact(tiny, preset):
    # Layer norms of all ones would round to themselves.
    changed = load_backbone(str(preset))
    from compacter_cli.t5.placement import backbone_weights

    for name, variable in backbone_weights(changed.keras).items():
        if name.endswith("layer_norm"):
            variable.assign(variable.value + 1e-3)
    changed.keras.save_to_preset(str(preset))
    exact = weights_of(changed)
    rounded = load_backbone(str(preset), "bfloat16")
    for name, tensor in weights_of(rounded).items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(tensor, exact[name].bfloat16()), name
    assert sorted(rounded.exact) == [n for n in sorted(exact) if n.endswith("layer_norm")]
    for name, tensor in rounded.exact.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, exact[name]), name
        assert not torch.equal(tensor, tensor.bfloat16().float())
    assert rounded.fingerprint == fingerprint_of(backbone_weights(changed.keras))
    assert rounded.fingerprint != tiny.fingerprint


def test_float32_is_kept_where_all_of_it_trains(tiny):
    kept = load_backbone("random/tiny", "bfloat16", keep_float32=True)
    assert kept.exact == {}
    assert kept.fingerprint == tiny.fingerprint
    for name, tensor in weights_of(kept).items():
        assert torch.equal(tensor, weights_of(tiny)[name]), name


def test_every_load_is_a_backbone_of_its_own(tiny):
    other = load_backbone("random/tiny")
    assert other.keras is not tiny.keras
    assert weights_of(other)["embedding"].data_ptr() != weights_of(tiny)["embedding"].data_ptr()


def test_a_saved_preset_is_the_same_backbone(tiny, preset):
    loaded = load_backbone(str(preset))
    assert loaded.preset == str(preset)
    assert loaded.fingerprint == tiny.fingerprint
    assert loaded.vocabulary.sha256 == tiny.vocabulary.sha256
    for name, tensor in weights_of(loaded).items():
        assert torch.equal(tensor, weights_of(tiny)[name]), name


def test_a_preset_is_found_by_a_relative_path(tiny, preset, monkeypatch):
    monkeypatch.chdir(preset.parent)
    assert load_backbone("my_preset").fingerprint == tiny.fingerprint


def test_an_adapter_knows_a_saved_preset_by_its_weights(smoke_run, preset):
    from compacter_cli.adapters.predictor import Predictor

    assert load_adapter(smoke_run / "best").manifest["backbone"]["preset"] == "random/tiny"
    assert Predictor(load_backbone(str(preset)), smoke_run / "best").predict(["sentence: iron"])


# Presets that are damaged or not there.


def test_a_name_that_is_none_is_told_with_one_that_is(keras):
    with pytest.raises(MissingResourceError, match=r'"t5_base_mutli" is neither a dir') as caught:
        load_backbone("t5_base_mutli")
    assert caught.value.hint == 'did you mean "t5_base_multi"?'


def test_a_preset_directory_that_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingResourceError, match="there is no directory") as caught:
        load_backbone(str(tmp_path / "nothing"))
    assert str(tmp_path / "nothing") in str(caught.value)


def test_a_directory_that_is_no_preset_is_named(tmp_path):
    with pytest.raises(MissingResourceError, match=r"holds no config\.json"):
        load_backbone(str(tmp_path))


def test_a_missing_vocabulary_is_named(preset):
    (preset / "assets" / "tokenizer" / "vocabulary.spm").unlink()
    with pytest.raises(MissingResourceError, match=r"vocabulary\.spm is missing"):
        load_backbone(str(preset))


def test_a_damaged_vocabulary_is_named(preset):
    (preset / "assets" / "tokenizer" / "vocabulary.spm").write_bytes(b"<html>not found</html>")
    with pytest.raises(CompacterError, match=r"vocabulary\.spm: not a SentencePiece vocabulary"):
        load_backbone(str(preset))


def truncate_weights(preset):
    path = preset / "model.weights.h5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty_weights(preset):
    (preset / "model.weights.h5").write_bytes(b"")


def remove_weights(preset):
    (preset / "model.weights.h5").unlink()


def truncate_config(preset):
    path = preset / "config.json"
    path.write_text(path.read_text()[:100])


def another_shape(preset):
    path = preset / "config.json"
    path.write_text(path.read_text().replace('"hidden_dim": 64', '"hidden_dim": 32'))


@pytest.mark.parametrize(
    "fault",
    [
        truncate_weights,
        empty_weights,
        remove_weights,
        truncate_config,
        another_shape,
    ],
    ids=lambda fault: fault.__name__,
)
@pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras, before its error
def test_a_damaged_preset_is_an_error_of_one_line(preset, fault):
    before = sorted(p.read_bytes() for p in preset.glob("*.*"))
    fault(preset)
    assert sorted(p.read_bytes() for p in preset.glob("*.*")) != before
    with pytest.raises(CompacterError) as caught:
        load_backbone(str(preset))
    assert str(preset) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_preset_is_loaded_from_the_cache_without_a_network(
    empty_cache, preset, tiny, monkeypatch
):
    monkeypatch.setattr("compacter_cli.t5.preset_places.can_reach", lambda host: False)
    folder = empty_cache / "models" / "keras" / "t5" / "keras" / "t5_small_multi" / "3"
    shutil.copytree(preset, folder)
    loaded = load_backbone("t5_small_multi")
    assert loaded.preset == "t5_small_multi"
    assert loaded.fingerprint == tiny.fingerprint


# A pretrained preset.


@pytest.mark.real_preset
def test_a_real_preset_loads_with_one_fingerprint_in_either_precision(real_preset):
    exact = load_backbone(real_preset)
    rounded = load_backbone(real_preset, "bfloat16")
    assert exact.fingerprint == rounded.fingerprint
    assert sum(tensor.numel() for tensor in weights_of(exact).values()) > 1_000_000
    assert any(not torch.equal(t, t.bfloat16().float()) for t in rounded.exact.values())
    text = "It rains, and the street is wet."
    (ids,) = exact.vocabulary.encode([text])
    assert exact.vocabulary.decode(ids) == text


# Hostile presets.


def refused(preset):
    with pytest.raises(CompacterError) as caught:
        load_backbone(str(preset))
    assert str(preset) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused_by_their_name(preset, value):
    from compacter_cli.t5.placement import backbone_weights

    backbone = load_backbone(str(preset)).keras
    variable = backbone_weights(backbone)["decoder.1.cross_attention.key"]
    values = variable.value.detach().clone()
    values[3, 5] = value
    variable.assign(values)
    backbone.save_to_preset(str(preset))
    found = refused(preset)
    assert "its weight decoder.1.cross_attention.key holds NaN or infinity" in found


def change_config(preset, **changes):
    path = preset / "config.json"
    saved = json.loads(path.read_text())
    saved["config"] |= changes
    path.write_text(json.dumps(saved))


@pytest.mark.timeout(120)
def test_a_config_of_more_than_its_weights_can_hold_is_refused_before_it_is_made(
    preset, monkeypatch
):
    import keras_hub

    monkeypatch.setattr(
        keras_hub.models, "T5Backbone", lambda **_: pytest.fail("made the backbone")
    )
    change_config(preset, hidden_dim=8192, intermediate_dim=65_536, num_layers=24)
    assert "too few for the 51,692,650,752 parameters" in refused(preset)


def test_no_class_but_that_of_a_t5_is_made(preset, tiny):
    path = preset / "config.json"
    saved = json.loads(path.read_text())
    saved |= {
        "module": "no_such.module",
        "registered_name": "Anything>Else",
        "compile_config": {"class_name": "Lambda"},
        "build_config": {"class_name": "Lambda"},
    }
    saved["config"]["dtype"] = {"module": "os", "class_name": "system", "config": {}}
    path.write_text(json.dumps(saved))
    loaded = load_backbone(str(preset))
    assert type(loaded.keras) is type(tiny.keras)
    assert loaded.fingerprint == tiny.fingerprint


def test_kerashub_s_own_gelu_is_found_by_the_name_it_is_saved_by(tiny_backbone, preset):
    from keras_hub.src.utils.keras_utils import gelu_approximate

    backbone = tiny_backbone(
        "gated", num_layers=1, vocabulary_size=128, activation=gelu_approximate
    )
    backbone.save_to_preset(str(preset))
    assert load_backbone(str(preset)).keras.activation is gelu_approximate


def test_an_unknown_activation_is_refused(preset):
    change_config(preset, activation="os.system")
    assert "os.system" in refused(preset)


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore:Skipping nested container")  # Keras, before its error
def test_weights_that_lie_elsewhere_or_are_no_file_are_refused(preset, tmp_path):
    path = preset / "model.weights.h5"
    path.rename(tmp_path / "elsewhere.h5")
    path.symlink_to(tmp_path / "elsewhere.h5")
    assert "it is a link to" in refused(preset)
    path.unlink()
    os.mkfifo(path)
    assert "model.weights.h5 is no file" in refused(preset)


@pytest.fixture
def sharded(tiny, saved_preset, tmp_path):
    """`random/tiny` with its weights in several files."""
    directory = shutil.copytree(saved_preset, tmp_path / "sharded")
    (directory / "model.weights.h5").unlink()
    tiny.keras.save_weights(str(directory / "model.weights.json"), max_shard_size=0.0003)
    return directory


def test_weights_in_several_files_are_the_same_backbone(sharded, tiny):
    assert len(list(sharded.glob("model_*.weights.h5"))) > 1
    assert load_backbone(str(sharded)).fingerprint == tiny.fingerprint


@pytest.mark.parametrize("name", ["../outside.h5", "/etc/passwd", "below/x.h5", "", 3])
def test_an_index_that_names_what_is_not_beside_it_is_refused(sharded, name):
    path = sharded / "model.weights.json"
    index = json.loads(path.read_text())
    index["weight_map"]["/vars"] = name
    path.write_text(json.dumps(index))
    refused(sharded)


@pytest.mark.filterwarnings("ignore:Skipping nested container")
def test_weights_that_are_links_within_the_file_are_refused(preset, tmp_path):
    import h5py

    path = preset / "model.weights.h5"
    shutil.copy(path, tmp_path / "outside.h5")
    place = "layers/reversible_embedding/vars/0"
    with h5py.File(path, "a") as file:
        del file[place]
        file[place] = h5py.ExternalLink(str(tmp_path / "outside.h5"), place)
    refused(preset)


def test_a_vocabulary_of_more_pieces_than_the_embedding_has_rows_is_refused(tiny_backbone, preset):
    tiny_backbone("v1_0", num_layers=1, vocabulary_size=20).save_to_preset(str(preset))
    assert "pieces, its embedding 20 rows" in refused(preset)

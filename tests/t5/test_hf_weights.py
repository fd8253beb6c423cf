"""The same T5 in KerasHub's files and in Hugging Face's of every kind; damage and more refused."""

import json
import os
import re
import shutil

import pytest
import safetensors.torch
import torch

from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.exchange.hf import write
from compacter_cli.exchange.trained import Plain
from compacter_cli.t5 import hf_weights
from compacter_cli.t5.hf_weights import names_of, shapes_of
from compacter_cli.t5.loading import fingerprint_of, load_backbone
from compacter_cli.t5.placement import backbone_weights, shape_of_backbone
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.shapes import PRESETS, T5Shape


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture
def shared(shared_backbone):
    """One backbone a kind, of as many rows as the tiny vocabulary has pieces."""
    return lambda kind: shared_backbone(kind, vocabulary_size=len(tiny_vocabulary()))


@pytest.fixture
def directory(shared, tmp_path):
    """Makes a directory of Hugging Face's, of an ungated tied T5 or a gated untied one."""

    def make(kind="v1_0"):
        place = tmp_path / "hf"
        place.mkdir()
        write(Plain(shared(kind), tiny_vocabulary()), place)
        return place

    return make


def tensors_in(place):
    return safetensors.torch.load_file(place / "model.safetensors")


def rewrite(place, tensors):
    safetensors.torch.save_file(tensors, place / "model.safetensors")


def refused(place):
    """The one line of a directory that cannot be loaded."""
    with pytest.raises(CompacterError, match=r"^cannot load the preset ") as caught:
        load_backbone(str(place))
    assert str(place) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "gated", "theirs"),
    [
        ("embedding", False, "shared.weight"),
        ("head", True, "lm_head.weight"),
        ("encoder.layer_norm", False, "encoder.final_layer_norm.weight"),
        (
            "encoder.0.self_attention.relative_bias",
            False,
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        ),
        (
            "decoder.1.cross_attention.value",
            False,
            "decoder.block.1.layer.1.EncDecAttention.v.weight",
        ),
        (
            "decoder.1.cross_attention.layer_norm",
            False,
            "decoder.block.1.layer.1.layer_norm.weight",
        ),
        ("encoder.1.feed_forward.input", False, "encoder.block.1.layer.1.DenseReluDense.wi.weight"),
        (
            "decoder.0.feed_forward.input",
            True,
            "decoder.block.0.layer.2.DenseReluDense.wi_0.weight",
        ),
        ("decoder.0.feed_forward.gate", True, "decoder.block.0.layer.2.DenseReluDense.wi_1.weight"),
        ("decoder.0.feed_forward.output", True, "decoder.block.0.layer.2.DenseReluDense.wo.weight"),
    ],
)
def test_the_names_are_hugging_faces(name, gated, theirs):
    assert names_of(T5Shape(64, 32, 48, 2, 4, 8, gated=gated, tied=not gated))[name] == theirs


@pytest.mark.parametrize("shape", [PRESETS["t5_base_multi"], PRESETS["t5_1.1_base"]])
def test_every_weight_has_one_name_and_a_shape(shape):
    sizes = shapes_of(shape)
    assert len(set(names_of(shape).values())) == len(sizes) == shape.weight_tensors
    assert sum(torch.Size(size).numel() for size in sizes.values()) == shape.parameters()


@pytest.mark.parametrize("kind", ["v1_0", "gated"])
def test_weights_and_fingerprint_are_those_of_the_preset(shared, directory, kind, monkeypatch):
    monkeypatch.setattr(hf_weights, "PART", 1_000)  # bytes: a few rows
    loaded, wanted = load_backbone(str(directory(kind))), backbone_weights(shared(kind))
    found = backbone_weights(loaded.keras)
    assert found.keys() == wanted.keys()
    for name, variable in found.items():
        assert torch.equal(variable.value, wanted[name].value), name
    assert loaded.fingerprint == fingerprint_of(wanted)
    assert loaded.vocabulary.sha256 == tiny_vocabulary().sha256
    assert shape_of_backbone(loaded.keras) == shape_of_backbone(shared(kind))


def say(place, **values):
    path = place / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def as_transformers_5(place):
    """The config as transformers 5 saves it of a T5 whose output is not scaled."""
    say(place, tie_word_embeddings=True, scale_decoder_outputs=False)


def as_mt5_of_transformers_5(place):
    say(place, tie_word_embeddings=True, model_type="mt5", transformers_version="5.24.0")


@pytest.mark.parametrize("form", [as_transformers_5, as_mt5_of_transformers_5])
def test_a_head_of_its_own_is_read_where_transformers_5_ties_all(shared, directory, form):
    form(place := directory("gated"))
    loaded = load_backbone(str(place))
    assert loaded.fingerprint == fingerprint_of(backbone_weights(shared("gated")))
    assert not shape_of_backbone(loaded.keras).tied


@pytest.mark.parametrize("form", [as_transformers_5, as_mt5_of_transformers_5])
def test_one_that_it_left_out_is_the_embedding_and_not_scaled(directory, form):
    place = directory("gated")
    tensors = tensors_in(place)
    del tensors["lm_head.weight"]
    rewrite(place, tensors)
    assert "its files lack lm_head.weight" in refused(place)  # transformers 4 had it untied
    form(place)
    found = load_backbone(str(place)).keras
    assert not shape_of_backbone(found).tied
    assert torch.equal(backbone_weights(found)["head"].value, tensors["shared.weight"].T)


def test_a_scaled_head_of_transformers_5_that_is_no_copy_is_refused(directory):
    place = directory()
    say(place, tie_word_embeddings=True, scale_decoder_outputs=True)
    tensors = tensors_in(place)
    rewrite(place, {**tensors, "lm_head.weight": tensors["shared.weight"] + 1})
    assert "lm_head.weight is not shared.weight" in refused(place)


def as_shards(place):
    tensors = tensors_in(place)
    (place / "model.safetensors").unlink()
    halves = sorted(tensors)[::2], sorted(tensors)[1::2]
    where = {}
    for number, names in enumerate(halves):
        file = f"model-{number}-of-2.safetensors"
        safetensors.torch.save_file({name: tensors[name] for name in names}, place / file)
        where |= dict.fromkeys(names, file)
    index = place / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))


def as_torch(place, **options):
    tensors = tensors_in(place)
    (place / "model.safetensors").unlink()
    torch.save(tensors, place / "pytorch_model.bin", **options)


def as_old_torch(place):
    as_torch(place, _use_new_zipfile_serialization=False)


def with_duplicates(place):
    tensors = tensors_in(place)
    for stack in ("encoder", "decoder"):
        tensors[f"{stack}.embed_tokens.weight"] = tensors["shared.weight"].clone()
    tensors["lm_head.weight"] = tensors["shared.weight"].clone()
    unused = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    rewrite(place, {**tensors, unused: torch.zeros(32, 4)})


def under_another_name(place):
    tensors = tensors_in(place)
    tensors["decoder.embed_tokens.weight"] = tensors.pop("shared.weight")
    rewrite(place, tensors)


@pytest.mark.parametrize(
    "change", [as_shards, as_torch, as_old_torch, with_duplicates, under_another_name]
)
def test_files_of_every_kind_are_the_same_backbone(shared, directory, change):
    change(place := directory())
    assert load_backbone(str(place)).fingerprint == fingerprint_of(backbone_weights(shared("v1_0")))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_the_precision_is_read_as_it_is(directory, dtype):
    place = directory()
    tensors = {name: tensor.to(dtype) for name, tensor in tensors_in(place).items()}
    rewrite(place, tensors)
    found = backbone_weights(load_backbone(str(place)).keras)["encoder.0.self_attention.query"]
    wanted = tensors["encoder.block.0.layer.0.SelfAttention.q.weight"].T.float()
    assert torch.equal(found.value, wanted)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float8_e4m3fn])
@pytest.mark.parametrize("form", [lambda place: None, as_torch])
def test_what_float32_would_round_or_only_scales_explain_is_refused(directory, dtype, form):
    place = directory()
    tensors = tensors_in(place)
    rewrite(place, {**tensors, "shared.weight": tensors["shared.weight"].to(dtype)})
    form(place)
    kinds = {torch.float64: "F64|float64", torch.float8_e4m3fn: "F8_E4M3|float8_e4m3fn"}
    assert re.search(f"holds shared.weight as ({kinds[dtype]})", refused(place))


def test_a_snapshot_of_the_cache_is_read_through_its_links(directory, tmp_path):
    kept = tmp_path / "models--google--t5"
    place = kept / "snapshots" / "abc"
    place.mkdir(parents=True)
    (kept / "blobs").mkdir()
    for number, path in enumerate(sorted(directory().iterdir())):
        shutil.move(path, kept / "blobs" / str(number))
        (place / path.name).symlink_to(f"../../blobs/{number}")
    assert load_backbone(str(place)).fingerprint


def test_weights_that_lie_elsewhere_are_refused(directory, tmp_path):
    place = directory()
    shutil.move(place / "model.safetensors", tmp_path / "elsewhere")
    (place / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    assert "it is a link to" in refused(place)


def test_no_weights_at_all_are_missed(directory):
    place = directory()
    (place / "model.safetensors").unlink()
    assert "model.safetensors or pytorch_model.bin is missing" in refused(place)


def test_a_shard_cut_short_is_named_before_anything_is_made(directory, monkeypatch):
    place = directory()
    as_shards(place)
    path = place / "model-1-of-2.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    monkeypatch.setattr(
        "compacter_cli.t5.placement.empty_backbone", lambda **_: pytest.fail("made the backbone")
    )
    assert "model-1-of-2.safetensors is damaged" in refused(place)
    path.unlink()
    with pytest.raises(MissingResourceError, match=r"model-1-of-2\.safetensors is missing"):
        load_backbone(str(place))


def test_an_index_of_what_its_files_lack_is_refused(directory):
    place = directory()
    as_shards(place)
    index = place / "model.safetensors.index.json"
    saved = json.loads(index.read_text())
    where = {**saved["weight_map"], "decoder.embed_tokens.weight": "model-0-of-2.safetensors"}
    index.write_text(json.dumps({"weight_map": where}))
    assert load_backbone(str(place)).fingerprint  # of a second name of the embedding
    more = "encoder.block.9.layer.0.layer_norm.weight"
    index.write_text(json.dumps({"weight_map": {**where, more: "model-1-of-2.safetensors"}}))
    assert f"{more} is in model-1-of-2.safetensors, which lacks it" in refused(place)


@pytest.mark.parametrize("text", ["{}", "[1]", '{"weight_map": ["a"]}', '{"weight_map": {'])
def test_an_index_that_is_none_is_damaged(directory, text):
    as_shards(place := directory())
    (place / "model.safetensors.index.json").write_text(text)
    assert "model.safetensors.index.json is damaged: " in refused(place)


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "below/x", 3])
def test_an_index_that_names_what_is_not_beside_it_is_refused(directory, name):
    place = directory()
    as_shards(place)
    index = {"weight_map": {"shared.weight": name}}
    (place / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "which is not beside it" in refused(place)


class Payload:
    """What a pickle runs where it is loaded as one."""

    def __reduce__(self):
        return (pytest.fail, ("the pickle was run",))


class Command:
    """A call that torch refuses in other words, for the module that it is of."""

    def __reduce__(self):
        return (os.system, ("exit 1",))


@pytest.mark.parametrize("payload", [Payload(), Command()])
@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(directory, new, payload):
    place = directory()
    (place / "model.safetensors").unlink()
    content = {"shared.weight": payload}
    torch.save(content, place / "pytorch_model.bin", _use_new_zipfile_serialization=new)
    assert "pytorch_model.bin is a pickle of more than tensors" in (told := refused(place))
    assert "nothing of it was run" in told
    with pytest.raises(CompacterError) as caught:
        load_backbone(str(place))
    assert "with safetensors" in (caught.value.hint or "")


def test_a_pickle_cut_short_is_damaged(directory):
    place = directory()
    as_torch(place)
    path = place / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-1000])
    assert "pytorch_model.bin is damaged" in refused(place)


def test_what_is_no_table_of_tensors_is_refused(directory):
    place = directory()
    (place / "model.safetensors").unlink()
    torch.save({"shared.weight": 3}, place / "pytorch_model.bin")
    assert "holds shared.weight, which is no tensor of floats" in refused(place)
    torch.save([torch.ones(2)], place / "pytorch_model.bin")
    assert "no table of tensors" in refused(place)


def test_tensors_that_are_not_those_of_the_config_are_named(directory):
    place = directory()
    tensors = tensors_in(place)
    rewrite(place, {**tensors, "encoder.block.1.adapter.weight": torch.ones(3)})
    assert "hold encoder.block.1.adapter.weight, which no T5 like this has" in refused(place)
    rows = len(tiny_vocabulary())
    rewrite(place, {**tensors, "shared.weight": torch.ones(rows + 1, 32)})
    assert f"shared.weight is {rows + 1} x 32, by config.json {rows} x 32" in refused(place)
    rewrite(place, {**tensors, "shared.weight": torch.ones(rows, 32, dtype=torch.int8)})
    assert "holds shared.weight as I8" in refused(place)
    rewrite(place, {**tensors, "lm_head.weight": torch.ones(rows, 32)})
    assert "lm_head.weight is not shared.weight, though config.json ties the two" in refused(place)
    del tensors["decoder.final_layer_norm.weight"]
    rewrite(place, tensors)
    assert "its files lack decoder.final_layer_norm.weight" in refused(place)


def test_weights_that_are_not_finite_are_refused(directory):
    place = directory()
    tensors = tensors_in(place)
    tensors["shared.weight"][3, 4] = float("nan")
    rewrite(place, tensors)
    with pytest.raises(CompacterError, match="its weight embedding holds NaN or infinity"):
        load_backbone(str(place))


def test_a_vocabulary_of_another_size_is_refused(directory, monkeypatch):
    place, rows = directory(), len(tiny_vocabulary())
    monkeypatch.setattr("compacter_cli.t5.loading.MOST_SPARE_ROWS", -1)
    assert f"its vocabulary has {rows} pieces, its embedding {rows} rows" in refused(place)

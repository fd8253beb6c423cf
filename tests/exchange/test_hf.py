"""A T5 in Hugging Face's form: the files it is written as, and that they are read as the same."""

import json

import pytest
import safetensors.torch
import torch

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.exchange import hf, keras_hub
from compacter_cli.exchange.folding import write_folded
from compacter_cli.exchange.rewriting import write_again
from compacter_cli.exchange.safetensors_file import write_tensors
from compacter_cli.exchange.trained import Plain, Trained
from compacter_cli.recipe.recipe import recipe_of
from compacter_cli.t5.loading import Backbone
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.placement import backbone_weights, shape_of_backbone
from compacter_cli.t5.random_backbone import tiny_vocabulary

ROWS = len(tiny_vocabulary())


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


@pytest.fixture
def written(tiny_backbone, tmp_path):
    """Makes a backbone and the directory of Hugging Face's it was written to."""

    def make(kind="v1_0", **changes):
        changes = {"vocabulary_size": ROWS, "num_layers": 1, **changes}
        backbone, place = tiny_backbone(kind, **changes), tmp_path / "hf"
        place.mkdir()
        hf.write(Plain(backbone, tiny_vocabulary()), place)
        return backbone, place

    return make


def read(place, name):
    return json.loads((place / f"{name}.json").read_text())


def test_its_matrices_are_transposed_and_its_embedding_is_not(written):
    backbone, place = written("gated")
    weights = backbone_weights(backbone)
    tensors = safetensors.torch.load_file(place / "model.safetensors")
    for theirs, ours in {
        "encoder.block.0.layer.0.SelfAttention.q.weight": "encoder.0.self_attention.query",
        "decoder.block.0.layer.2.DenseReluDense.wi_1.weight": "decoder.0.feed_forward.gate",
        "lm_head.weight": "head",
    }.items():
        assert torch.equal(tensors[theirs], weights[ours].value.T), theirs
    assert torch.equal(tensors["shared.weight"], weights["embedding"].value)
    assert len(tensors) == len(weights) == shape_of_backbone(backbone).weight_tensors


def test_its_config_is_a_t5s(written):
    _, place = written("gated", vocabulary_size=ROWS + 100)
    config = read(place, "config")
    assert (config["architectures"], config["model_type"]) == (["T5ForConditionalGeneration"], "t5")
    assert (config["d_model"], config["d_kv"], config["vocab_size"]) == (32, 8, ROWS + 100)
    assert (config["feed_forward_proj"], config["tie_word_embeddings"]) == (
        "gated-gelu_python",  # KerasHub's "gelu" is the exact form
        False,
    )
    assert read(place, "generation_config")["decoder_start_token_id"] == 0
    assert (place / "spiece.model").read_bytes() == tiny_vocabulary().proto


@pytest.mark.parametrize(("spare", "sentinels"), [(99, 0), (100, 100), (128, 100)])
def test_its_tokenizer_has_sentinels_where_there_are_rows_for_them(written, spare, sentinels):
    _, place = written(vocabulary_size=ROWS + spare)
    assert read(place, "tokenizer_config")["extra_ids"] == sentinels


def test_from_hugging_face_to_a_preset_and_back_no_bit_changes(written, tmp_path):
    _, place = written()
    there = write_again(str(place), tmp_path / "preset", keras_hub.write)
    (tmp_path / "again").mkdir()
    back = write_again(str(tmp_path / "preset"), tmp_path / "again", hf.write)
    assert there == back
    assert (there["rows"], there["pieces"]) == (ROWS, ROWS)
    for path in place.iterdir():
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes(), path.name


def test_what_reads_as_something_else_is_refused(written, tmp_path):
    _, place = written()

    def write(plain, directory):
        next(iter(backbone_weights(plain.backbone).values())).assign(torch.ones(ROWS, 32))
        hf.write(plain, directory)

    with pytest.raises(CompacterError, match="is not what was read"):
        write_again(str(place), tmp_path / "again", write)
    assert not (tmp_path / "again").exists()


def test_a_run_is_folded_into_it(written, tmp_path, tiny_backbone):
    tables = {"task": "demo/smoke", "backbone": {"preset": "random/tiny"}}
    method = {"name": "lora", "train_output_layer": True}
    recipe = recipe_of({**tables, "method": method}, "here")
    backbone = tiny_backbone(vocabulary_size=ROWS, num_layers=1)
    model = T5Model(backbone, recipe.method)
    model.assign({n: t.detach() + 0.1 for n, t in model.trained_tensors().items()})
    given = Trained(model, Backbone("random/tiny", backbone, tiny_vocabulary(), "0" * 64), recipe)
    (tmp_path / "made").mkdir()
    found = write_folded(lambda: given, tmp_path / "made", hf.write)
    assert found["folded"]["untied"]
    assert read(tmp_path / "made", "config")["tie_word_embeddings"] is False
    compared = found["compared"]
    assert compared["largest_difference"] < 1e-4 * compared["largest_logit"]


def test_an_activation_that_it_has_not_is_refused(written):
    with pytest.raises(UsageError, match="the activation tanh"):
        written(activation="tanh")


def test_a_config_of_either_kind_is_recognised(written, tmp_path):
    _, place = written()
    assert hf.recognise(place)
    assert not keras_hub.recognise(place)
    assert not hf.recognise(tmp_path)


def test_tensors_are_asked_for_one_at_a_time(tmp_path):
    asked = []

    def tensors():
        for number, size in enumerate(((2, 3), (4,))):
            asked.append(number)
            yield torch.full(size, float(number))

    path = tmp_path / "x.safetensors"
    write_tensors(path, {"a": (2, 3), "é": (4,)}, tensors())
    found = safetensors.torch.load_file(path)
    assert torch.equal(found["a"], torch.zeros(2, 3))
    assert torch.equal(found["é"], torch.ones(4))
    with pytest.raises(ValueError, match=r"é should be \(5,\)"):
        write_tensors(path, {"a": (2, 3), "é": (5,)}, tensors())
    assert asked == [0, 1, 0, 1]


def test_what_is_transposed_is_written_in_parts(tmp_path, monkeypatch):
    monkeypatch.setattr("compacter_cli.exchange.safetensors_file.PART", 20)  # bytes: a row or two
    tensors = {"a": torch.arange(15.0).reshape(3, 5).T, "b": torch.arange(7.0)}
    write_tensors(tmp_path / "x", {"a": (5, 3), "b": (7,)}, tensors.values())
    found = safetensors.torch.load_file(tmp_path / "x")
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())

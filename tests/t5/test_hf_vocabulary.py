"""A SentencePiece model made of a tokenizer.json tokenises as the one that it came from."""

import base64
import json

import pytest
from sentencepiece import sentencepiece_model_pb2

from compacter_cli.errors import MissingResourceError, UsageError
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.vocabulary import read_vocabulary
from compacter_cli.tasks.smoke import SMOKE


@pytest.fixture
def table():
    """The tokenizer.json of the tiny vocabulary, as a fast T5 tokenizer's has it."""
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(tiny_vocabulary().proto)
    pieces = [[piece.piece, piece.score] for piece in model.pieces]
    charsmap = base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()
    return {
        "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap},
        "model": {
            "type": "Unigram",
            "unk_id": 2,
            "vocab": [*pieces, ["<extra_id_1>", 0.0], ["<extra_id_0>", 0.0]],
        },
    }


@pytest.fixture
def directory(tmp_path):
    """Makes a directory of Hugging Face's of given JSON files."""
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')

    def make(**files):
        for name, value in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(value))
        return tmp_path

    return make


def test_it_tokenises_as_the_one_it_was_made_from(table, directory):
    found, wanted = read_vocabulary(directory(tokenizer=table)), tiny_vocabulary()
    rows = [SMOKE.source(row) for row in SMOKE.generate()["train"][:50]]
    texts = [*rows, "Zinc  and ﬁre ", "naïve Ｔ５", "", "<extra_id_0> iron"]
    assert found.encode(texts) == wanted.encode(texts)
    assert len(found) == len(wanted)  # without the sentinels
    again = read_vocabulary(directory(tokenizer=table))
    assert again.sha256 == found.sha256


def test_the_model_itself_comes_first(table, directory):
    place = directory(tokenizer=table)
    (place / "spiece.model").write_bytes(tiny_vocabulary().proto)
    assert read_vocabulary(place).sha256 == tiny_vocabulary().sha256


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model": {"type": "BPE", "vocab": {}}}, "of the type BPE, expected Unigram"),
        ({"model": {"type": "Unigram", "unk_id": 2, "vocab": []}}, "padding, </s>"),
        ({"model": {"type": "Unigram", "unk_id": 2, "vocab": [["a"]]}}, "no T5's tokenizer"),
        ({"normalizer": {"type": "Lowercase"}}, "normalizes by Lowercase"),
        ({"model": []}, "no T5's tokenizer"),
        (
            {"normalizer": {"type": "Replace", "pattern": {"String": "a"}, "content": "b"}},
            "normalizes by Replace",
        ),
        ({"pre_tokenizer": {"type": "ByteLevel"}}, "it splits texts by .*ByteLevel"),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first"}}, "splits texts by"),
        ({"added_tokens": [{"id": 128, "content": "[SEP]"}]}, r"the token \[SEP\] was added"),
    ],
)
def test_what_is_no_t5s_is_refused_with_the_reason(table, directory, change, reason):
    with pytest.raises(UsageError, match=reason):
        read_vocabulary(directory(tokenizer=table | change))


def test_what_a_t5s_splits_and_adds_is_taken(table, directory):
    steps = [{"type": "WhitespaceSplit"}, {"type": "Metaspace", "prepend_scheme": "always"}]
    spaces = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}
    more = {
        "normalizer": {"type": "Sequence", "normalizers": [table["normalizer"], spaces]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "added_tokens": [{"content": "</s>"}, {"content": "<extra_id_7>"}],
    }
    found = read_vocabulary(directory(tokenizer=table | more))
    assert found.sha256 == read_vocabulary(directory(tokenizer=table)).sha256


def test_tokens_added_beside_the_model_itself_are_not_lost_in_silence(directory):
    place = directory(added_tokens={"<extra_id_99>": 128, "<table>": 129})
    (place / "spiece.model").write_bytes(tiny_vocabulary().proto)
    with pytest.raises(UsageError, match="the token <table> was added to its vocabulary"):
        read_vocabulary(place)
    assert len(read_vocabulary(directory(added_tokens={"<extra_id_99>": 128, "<pad>": 0})))


def test_a_tokenizer_of_bytes_is_named(directory):
    place = directory(tokenizer_config={"tokenizer_class": "ByT5Tokenizer"})
    with pytest.raises(UsageError, match="its tokenizer is a ByT5Tokenizer"):
        read_vocabulary(place)


def test_none_is_a_missing_resource_that_names_where_it_would_be(directory):
    with pytest.raises(MissingResourceError, match=r"spiece\.model is missing") as caught:
        read_vocabulary(directory(tokenizer_config={"tokenizer_class": "T5Tokenizer"}))
    assert "tokenizer.json" in caught.value.hint


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("tokenizer_config", {"added_tokens_decoder": {"128": {"content": "<table>"}}}),
        ("tokenizer_config", {"additional_special_tokens": ["<extra_id_0>", "<table>"]}),
        ("tokenizer_config", {"extra_special_tokens": {"cell": "<table>"}}),
        ("special_tokens_map", {"additional_special_tokens": [{"content": "<table>"}]}),
        ("special_tokens_map", {"sep_token": "<table>", "eos_token": "</s>"}),
    ],
)
def test_tokens_that_only_a_tokenizers_config_adds_are_not_lost_either(directory, file, said):
    place = directory(**{file: said})
    (place / "spiece.model").write_bytes(tiny_vocabulary().proto)
    with pytest.raises(UsageError, match="the token <table> was added to its vocabulary"):
        read_vocabulary(place)
    own = {"0": {"content": "<pad>"}, "1": {"content": "</s>"}, "128": {"content": "<extra_id_0>"}}
    config = {"added_tokens_decoder": own, "pad_token": "<pad>", "model_max_length": int(1e30)}
    usual = {"tokenizer_config": config}
    usual["special_tokens_map"] = {"eos_token": {"content": "</s>"}, "unk_token": "<unk>"}
    assert len(read_vocabulary(directory(**usual)))

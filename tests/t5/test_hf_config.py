"""Hugging Face's config of a T5 beside KerasHub's arguments; what does not fit is refused."""

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.t5.hf_config import (
    TANH_GELU,
    arguments_of,
    config_of,
    is_hugging_face,
    root_of,
    shares_embedding,
)

# As t5-base's and flan-t5-base's config.json have them, but for what nothing here reads.
T5_BASE = {
    "architectures": ["T5WithLMHeadModel"],
    "d_ff": 3072,
    "d_kv": 64,
    "d_model": 768,
    "decoder_start_token_id": 0,
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "layer_norm_epsilon": 1e-06,
    "model_type": "t5",
    "num_heads": 12,
    "num_layers": 12,
    "pad_token_id": 0,
    "relative_attention_num_buckets": 32,
    "task_specific_params": {"summarization": {"prefix": "summarize: "}},
    "vocab_size": 32128,
}
FLAN_BASE = T5_BASE | {
    "architectures": ["T5ForConditionalGeneration"],
    "d_ff": 2048,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}
MT5_BASE = FLAN_BASE | {
    "architectures": ["MT5ForConditionalGeneration"],
    "model_type": "mt5",
    "tokenizer_class": "T5Tokenizer",
    "vocab_size": 250112,
}


def test_the_first_t5_is_ungated_and_its_head_tied():
    assert arguments_of(T5_BASE) == {
        "vocabulary_size": 32128,
        "hidden_dim": 768,
        "intermediate_dim": 3072,
        "num_layers": 12,
        "num_heads": 12,
        "key_value_dim": 64,
        "dropout": 0.1,
        "layer_norm_epsilon": 1e-6,
        "activation": "relu",
        "use_gated_activation": False,
        "tie_embedding_weights": True,
    }


def test_flan_is_gated_by_the_tanh_form_and_its_head_is_its_own():
    found = arguments_of(FLAN_BASE)
    assert (found["activation"], found["use_gated_activation"]) == (TANH_GELU, True)
    assert not found["tie_embedding_weights"]


def test_what_an_mt5_leaves_unsaid_is_as_in_its_own_class():
    unsaid = ("feed_forward_proj", "tie_word_embeddings")
    said_less = {key: value for key, value in MT5_BASE.items() if key not in unsaid}
    assert arguments_of(said_less) == arguments_of(MT5_BASE)


@pytest.mark.parametrize(
    ("base", "said", "tied"),
    [
        # Both forms of Flan's config: transformers 5 has every head tied, and scales this one not.
        (FLAN_BASE, {"tie_word_embeddings": True, "scale_decoder_outputs": False}, False),
        (T5_BASE, {"tie_word_embeddings": True, "scale_decoder_outputs": True}, True),
        (MT5_BASE, {"tie_word_embeddings": True, "transformers_version": "5.24.0"}, False),
        (MT5_BASE, {"tie_word_embeddings": True, "transformers_version": "4.57.6"}, True),
        (MT5_BASE, {"tie_word_embeddings": True}, True),
    ],
)
def test_what_transformers_5_calls_tied_is_not_always_scaled(base, said, tied):
    assert arguments_of(base | said)["tie_embedding_weights"] is tied


def test_a_head_that_is_not_saved_is_the_embedding_unless_the_config_unties_them():
    assert shares_embedding(T5_BASE)
    assert shares_embedding(FLAN_BASE | {"tie_word_embeddings": True})
    assert not shares_embedding(FLAN_BASE)


@pytest.mark.parametrize(
    ("said", "activation", "gated"),
    [
        ({"feed_forward_proj": "gated-silu"}, "silu", True),
        ({"feed_forward_proj": "gelu"}, "gelu", False),
        ({"feed_forward_proj": "gelu_new"}, TANH_GELU, False),
        ({"feed_forward_proj": "gated-gelu_python"}, "gelu", True),
        # What transformers saves beside it is what it obeys, too.
        ({"feed_forward_proj": "gated-gelu", "dense_act_fn": "gelu"}, "gelu", True),
        ({"feed_forward_proj": "relu", "is_gated_act": True}, "relu", True),
    ],
)
def test_activations_are_hugging_faces(said, activation, gated):
    found = arguments_of(T5_BASE | said)
    assert (found["activation"], found["use_gated_activation"]) == (activation, gated)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"model_type": "umt5"}, "every block of it has a relative position bias"),
        ({"model_type": "bert"}, "(?m)a model of the type bert, expected t5 or mt5$"),
        ({"architectures": ["T5EncoderModel"]}, "the architecture T5EncoderModel"),
        ({"tokenizer_class": "ByT5Tokenizer"}, "reads bytes"),
        ({"num_decoder_layers": 4}, "unequal depth, 12 and 4 blocks"),
        ({"relative_attention_num_buckets": 64}, "num_buckets = 64, expected 32"),
        ({"relative_attention_max_distance": 256}, "max_distance = 256, expected 128"),
        ({"feed_forward_proj": "gated-mish"}, "activation mish"),
        ({"feed_forward_proj": "sparse-relu"}, "feed_forward_proj = sparse-relu"),
        ({"pad_token_id": 3}, "pad_token_id = 3, expected 0"),
        (
            {"tie_word_embeddings": False, "scale_decoder_outputs": True},
            "scale_decoder_outputs = True, expected False",
        ),
        ({"quantization_config": {"bits": 8}}, "quantized"),
        ({"tie_encoder_decoder": True}, "tie_encoder_decoder = True, expected False"),
        ({"auto_map": {"AutoModel": "mine.T5"}}, "auto_map: a model whose code lies beside it"),
        ({"use_rotary": True}, "use_rotary = True, which no T5"),
        ({"output_bias": False}, "output_bias = False, which no T5"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(said, reason):
    with pytest.raises(UsageError, match=reason):
        arguments_of(T5_BASE | said)


def test_what_changes_no_logit_is_passed_over():
    inert = {"_name_or_path": "here", "torch_dtype": "bfloat16", "dtype": "float32"}
    inert |= {"n_positions": 512, "use_cache": True, "num_beams": 4, "output_past": True}
    inert |= {"transformers_version": "4.23.1", "initializer_factor": 1.0, "pruned_heads": {}}
    assert arguments_of(T5_BASE | inert) == arguments_of(T5_BASE)


@pytest.mark.parametrize("lacking", ["d_kv", "vocab_size", "num_layers"])
def test_a_size_that_is_not_there_is_an_error(lacking):
    with pytest.raises(KeyError, match=lacking):
        arguments_of({key: value for key, value in T5_BASE.items() if key != lacking})


@pytest.mark.parametrize(
    ("activation", "gated", "said"),
    [
        ("relu", False, "relu"),
        ("gelu_approximate", True, "gated-gelu"),
        ("gelu", True, "gated-gelu_python"),
        ("silu", True, "gated-silu"),
    ],
)
def test_what_is_written_is_read_as_what_it_was(activation, gated, said):
    given = arguments_of(T5_BASE | {"d_kv": 12, "dropout_rate": 0.2, "layer_norm_epsilon": 1e-5})
    given |= {"use_gated_activation": gated, "tie_embedding_weights": not gated}
    written = config_of({**given, "activation": activation})
    assert written["feed_forward_proj"] == said
    read = arguments_of(written)
    assert read.pop("activation").removeprefix("keras_hub>") == activation
    assert read == {key: value for key, value in given.items() if key != "activation"}


def test_an_activation_of_nobody_is_not_written():
    with pytest.raises(UsageError, match="the activation mish"):
        config_of({**arguments_of(T5_BASE), "activation": "mish"})


def test_configs_of_the_two_are_told_apart():
    assert is_hugging_face(T5_BASE)
    assert not is_hugging_face({"class_name": "T5Backbone", "config": {}})
    assert not is_hugging_face([])


def test_links_may_lead_to_the_cache_of_a_snapshot_and_nowhere_else(tmp_path):
    snapshot = tmp_path / "models--google--t5" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    assert root_of(snapshot) == tmp_path / "models--google--t5"
    (tmp_path / "mine" / "snapshots" / "abc").mkdir(parents=True)
    mine = tmp_path / "mine" / "snapshots" / "abc"
    assert root_of(mine) == mine

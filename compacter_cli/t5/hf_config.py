"""Hugging Face's config.json of a T5 as the arguments of KerasHub's, and back.

A T5 that KerasHub's classes cannot compute is refused with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from compacter_cli.errors import UsageError, excerpt

RELATIVE_BUCKETS, RELATIVE_DISTANCE = 32, 128  # of the position bias, in KerasHub's T5
TYPES = ("t5", "mt5")
ARCHITECTURES = ("T5ForConditionalGeneration", "MT5ForConditionalGeneration", "T5WithLMHeadModel")
OTHER_TYPES = {
    "umt5": "every block of it has a relative position bias of its own, a T5 one for all",
    "longt5": "its encoder attends to what is near and to summaries, a T5's to everything",
    "switch_transformers": "its feed-forwards are mixtures of experts",
    "t5gemma": "it is a Gemma in two stacks",
}

# What KerasHub's T5 is given, by Hugging Face's argument.
_ARGUMENTS = {
    "vocabulary_size": "vocab_size",
    "hidden_dim": "d_model",
    "intermediate_dim": "d_ff",
    "num_layers": "num_layers",
    "num_heads": "num_heads",
    "key_value_dim": "d_kv",
}

# Activations by Hugging Face's names, as Keras serializes them: KerasHub's own is the tanh form.
TANH_GELU = "keras_hub>gelu_approximate"
_ACTIVATIONS = {
    "relu": "relu",
    "gelu_new": TANH_GELU,
    "gelu_pytorch_tanh": TANH_GELU,
    "gelu": "gelu",
    "gelu_python": "gelu",
    "silu": "silu",
    "swish": "silu",
}
# What a config is written with, by the name of Keras' function. "gated-gelu" means the tanh form
# to Hugging Face's T5 ("gelu_new"), so the exact one has another name.
_PROJECTIONS = {
    "relu": ("relu", "gated-relu"),
    "gelu_approximate": ("gelu_new", "gated-gelu"),
    "gelu": ("gelu", "gated-gelu_python"),
    "silu": ("silu", "gated-silu"),
}
# What changes no logit: where a config is from, training, and how answers are searched for, which
# is this program's own. Whatever else a config says might, and is refused.
_INERT = {
    "_attn_implementation", "_attn_implementation_autoset", "_commit_hash", "_name_or_path",
    "add_cross_attention", "attn_implementation", "bad_words_ids", "begin_suppress_tokens",
    "bos_token_id", "chunk_size_feed_forward", "classifier_dropout", "cross_attention_hidden_size",
    "diversity_penalty", "do_sample", "dtype", "early_stopping", "encoder_no_repeat_ngram_size",
    "exponential_decay_length_penalty", "experts_implementation", "finetuning_task",
    "forced_bos_token_id", "forced_eos_token_id", "gradient_checkpointing", "id2label",
    "initializer_factor", "is_decoder", "is_encoder_decoder", "label2id", "length_penalty",
    "max_length", "max_new_tokens", "max_position_embeddings", "min_length", "n_positions",
    "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_labels", "num_return_sequences",
    "output_attentions", "output_hidden_states", "output_past", "output_scores", "prefix",
    "problem_type", "remove_invalid_values", "repetition_penalty", "return_dict",
    "return_dict_in_generate", "sep_token_id", "suppress_tokens", "task_specific_params",
    "temperature", "tf_legacy_loss", "tokenizer_class", "top_k", "top_p", "torch_dtype",
    "torchscript", "transformers_version", "typical_p", "use_bfloat16", "use_cache", "xla_device",
}  # fmt: skip
_READ = {
    "model_type", "architectures", "quantization_config", "num_decoder_layers", "dropout_rate",
    "layer_norm_epsilon", "feed_forward_proj", "dense_act_fn", "is_gated_act",
    "tie_word_embeddings", "scale_decoder_outputs", "relative_attention_num_buckets",
    "relative_attention_max_distance", "tie_encoder_decoder",
}  # fmt: skip
_SPECIAL = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}


def is_hugging_face(config: object) -> bool:
    """Whether what a config.json holds is of Hugging Face's kind."""
    return isinstance(config, Mapping) and "model_type" in config and "class_name" not in config


def root_of(directory: Path) -> Path:
    """The directory that a backbone's files may lie in: links lead nowhere else.

    That is its own, but for a snapshot in Hugging Face's cache, whose files are links into it.
    """
    place = Path(os.path.realpath(directory))
    kept = place.parents[1] if len(place.parents) > 1 else place
    cached = place.parent.name == "snapshots" and kept.name.startswith("models--")
    return kept if cached else directory


def arguments_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of KerasHub's `T5Backbone` for a config of Hugging Face's.

    Raises:
        KeyError, TypeError, ValueError: it is not as a T5's is.
        UsageError: it is of a model that KerasHub's T5 is not.
    """
    _check_kind(config)
    _check_structure(config)
    _check_keys(config)
    activation, gated = _activation(config)
    return {
        **{name: config[theirs] for name, theirs in _ARGUMENTS.items()},
        "dropout": config.get("dropout_rate", 0.1),
        "layer_norm_epsilon": config.get("layer_norm_epsilon", 1e-6),
        "activation": activation,
        "use_gated_activation": gated,
        "tie_embedding_weights": _tied(config),
    }


def shares_embedding(config: Mapping[str, Any]) -> bool:
    """Whether a head that no file holds is the embedding.

    transformers 5 ties all T5s, and leaves out a head that is the embedding; whether the output
    is scaled, as that of a tied T5 is here, it says apart from this.
    """
    return config.get("tie_word_embeddings", True) is not False


def config_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Hugging Face's config of the `T5Backbone` of these arguments.

    Args:
        arguments: all that `arguments_of` gives; `activation` is the name of the function.

    Raises:
        UsageError: Hugging Face's T5 has no such activation.
    """
    activation = arguments["activation"].rpartition(">")[2]
    if activation not in _PROJECTIONS:
        raise UsageError(
            f"no T5 of Hugging Face's has the activation {excerpt(activation)}",
            "known: " + ", ".join(_PROJECTIONS),
        )
    return {
        "architectures": [ARCHITECTURES[0]],
        "model_type": TYPES[0],
        **{theirs: arguments[name] for name, theirs in _ARGUMENTS.items()},
        "num_decoder_layers": arguments["num_layers"],
        "feed_forward_proj": _PROJECTIONS[activation][arguments["use_gated_activation"]],
        "dropout_rate": arguments["dropout"],
        "layer_norm_epsilon": arguments["layer_norm_epsilon"],
        "relative_attention_num_buckets": RELATIVE_BUCKETS,
        "relative_attention_max_distance": RELATIVE_DISTANCE,
        "tie_word_embeddings": arguments["tie_embedding_weights"],
        "is_encoder_decoder": True,
        **_SPECIAL,
        "torch_dtype": "float32",
    }


def _check_kind(config: Mapping[str, Any]) -> None:
    """Refuse what is no T5 with both stacks and a head, or is stored in another way."""
    kind = config["model_type"]
    if kind not in TYPES:
        why = f": {OTHER_TYPES[kind]}" if kind in OTHER_TYPES else ""
        raise _unfit(f"a model of the type {excerpt(kind)}, expected t5 or mt5{why}")
    if str(config.get("tokenizer_class", "")).startswith("ByT5"):
        raise _unfit("a ByT5: it reads bytes, and has no SentencePiece vocabulary")
    named = config.get("architectures") or ARCHITECTURES
    if not any(name in ARCHITECTURES for name in named):
        raise _unfit(f"the architecture {excerpt(named[0])}, expected {ARCHITECTURES[0]}")
    if config.get("quantization_config"):
        raise _unfit("quantized weights")


def _check_structure(config: Mapping[str, Any]) -> None:
    """Refuse a T5 whose parts are put together in another way than KerasHub's."""
    layers = config["num_layers"]
    decoder = config.get("num_decoder_layers") or layers
    if decoder != layers:
        raise _unfit(f"stacks of unequal depth, {excerpt(layers)} and {excerpt(decoder)} blocks")
    fixed = {
        "relative_attention_num_buckets": RELATIVE_BUCKETS,
        "relative_attention_max_distance": RELATIVE_DISTANCE,
        "scale_decoder_outputs": _tied(config),
        "tie_encoder_decoder": False,
        **_SPECIAL,
    }
    for name, wanted in fixed.items():
        found = config.get(name)
        if found is not None and found != wanted:
            raise _unfit(f"{name} = {excerpt(found)}, expected {wanted}")


def _check_keys(config: Mapping[str, Any]) -> None:
    """Refuse what a config says beyond what is read here or changes nothing."""
    known = _INERT | _READ | {*_ARGUMENTS.values(), *_SPECIAL}
    for key, value in config.items():
        if key == "auto_map":
            raise _unfit("auto_map: a model whose code lies beside it, which is never run here")
        if key not in known and value not in (None, {}, []):
            raise _unfit(f"{excerpt(key)} = {excerpt(value)}, which no T5 that is known here has")


def _tied(config: Mapping[str, Any]) -> bool:
    """Whether the output is scaled and the head is the embedding, as KerasHub's tied T5 has it.

    transformers 5 says `tie_word_embeddings = true` of every T5, and what it meant before is left
    in `scale_decoder_outputs`; its MT5 has no such key and never scales.
    """
    if config.get("scale_decoder_outputs") is False:
        return False
    if config["model_type"] == "mt5" and _major(config.get("transformers_version")) >= 5:
        return False
    return config.get("tie_word_embeddings", config["model_type"] == "t5")


def _major(version: object) -> int:
    """The first number of a version; 0 of what is none."""
    first = str(version).partition(".")[0]
    return int(first) if first.isdecimal() else 0


def _activation(config: Mapping[str, Any]) -> tuple[str, bool]:
    """The activation as Keras names it, and whether the feed-forward is gated."""
    said = config.get(
        "feed_forward_proj", "gated-gelu" if config["model_type"] == "mt5" else "relu"
    )
    gate, _, name = str(said).rpartition("-")
    if said == "gated-gelu":
        name = "gelu_new"
    name = config.get("dense_act_fn") or name  # saved beside it, and obeyed there, too
    gated = config.get("is_gated_act", gate == "gated")
    if gate not in ("", "gated") or name not in _ACTIVATIONS:
        raise _unfit(f"feed_forward_proj = {excerpt(said)} with the activation {excerpt(name)}")
    return _ACTIVATIONS[name], gated


def _unfit(what: str) -> UsageError:
    return UsageError(what, "T5 v1.0, v1.1, Flan, LM-adapted and mT5 are read")

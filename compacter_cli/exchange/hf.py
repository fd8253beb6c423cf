"""Hugging Face's T5s: a directory of a config, safetensors and a SentencePiece model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compacter_cli.files import json_text, write_durably
from compacter_cli.t5.shapes import CONFIG, is_hugging_face_s
from compacter_cli.t5.vocabulary import END, PAD, SPIECE

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.exchange.trained import Plain

SENTINELS = 100  # of a T5's tokenizer, where the embedding has rows for them


def recognise(directory: Path) -> bool:
    """Whether a directory holds a model of Hugging Face's; which one is seen when it is read."""
    return is_hugging_face_s(directory)


def write(plain: Plain, directory: Path) -> None:
    """Write a directory that transformers' `from_pretrained` and `load_backbone` read, in float32.

    Raises:
        OSError: the disk is full or cannot be written.
        UsageError: Hugging Face's T5 has no such activation.
    """
    from compacter_cli.t5.hf_config import config_of
    from compacter_cli.t5.placement import shape_of_backbone

    backbone, shape = plain.backbone, shape_of_backbone(plain.backbone)
    own = {"key_value_dim": shape.key_value_dim, "activation": backbone.activation.__name__}
    write_durably(directory / SPIECE, plain.vocabulary.proto)
    spare = shape.vocabulary_size - len(plain.vocabulary)
    tables = {
        CONFIG: config_of({**backbone.get_config(), **own}),
        "tokenizer_config.json": _tokenizer(SENTINELS if spare >= SENTINELS else 0),
        "generation_config.json": {
            "pad_token_id": PAD,
            "eos_token_id": END,
            "decoder_start_token_id": PAD,
        },
    }
    for name, table in tables.items():
        write_durably(directory / name, json_text(table).encode())
    _write_weights(plain, directory)


def _tokenizer(sentinels: int) -> dict[str, Any]:
    return {
        "tokenizer_class": "T5Tokenizer",
        "extra_ids": sentinels,
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "legacy": True,
    }


def _write_weights(plain: Plain, directory: Path) -> None:
    from compacter_cli.exchange.safetensors_file import write_tensors
    from compacter_cli.t5.hf_weights import SAFETENSORS, is_transposed, names_of
    from compacter_cli.t5.placement import backbone_weights, shape_of_backbone

    theirs = names_of(shape_of_backbone(plain.backbone))
    values = {
        name: v.value.detach().T if is_transposed(name) else v.value.detach()
        for name, v in backbone_weights(plain.backbone).items()
    }
    shapes = {theirs[name]: tuple(value.shape) for name, value in values.items()}
    write_tensors(directory / SAFETENSORS, shapes, values.values())

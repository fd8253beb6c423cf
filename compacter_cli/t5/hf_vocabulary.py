"""A SentencePiece model out of a fast tokenizer's tokenizer.json, where that alone is there.

It tokenises as the one it was made from; its bytes are not that one's, and so neither is its hash.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Container, Iterable, Iterator
from pathlib import Path
from typing import Any

from compacter_cli.errors import excerpt
from compacter_cli.files import read_json

BYTES = 64_000_000  # mT5's has 16 MB
_SENTINEL = re.compile(r"<extra_id_\d+>")
_OWN = ("<pad>", "</s>", "<unk>")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def proto_of(path: Path, root: Path) -> bytes:
    """The serialized SentencePiece model of a tokenizer.json.

    Sentinels behind the pieces are left out, as in T5's own model.

    Raises:
        OSError, ValueError: it cannot be read, or is not that of a T5.
    """
    saved = read_json(path, BYTES, root)
    try:
        return _serialized(saved)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise ValueError(f"it is no T5's tokenizer ({type(error).__name__}: {error})") from error


def _serialized(saved: dict[str, Any]) -> bytes:
    from sentencepiece import sentencepiece_model_pb2

    pieces = _pieces(saved["model"])
    model = sentencepiece_model_pb2.ModelProto()  # pyright: ignore[reportAttributeAccessIssue]
    for number, (text, score) in enumerate(pieces):
        piece = model.pieces.add()
        piece.piece, piece.score, piece.type = text, score, _kind(number, text)
    trainer = model.trainer_spec
    trainer.model_type, trainer.vocab_size = 1, len(pieces)  # 1: unigram
    trainer.pad_id, trainer.eos_id, trainer.unk_id, trainer.bos_id = 0, 1, 2, -1
    trainer.pad_piece, trainer.eos_piece, trainer.unk_piece = (text for text, _ in pieces[:3])
    trainer.byte_fallback = bool(saved["model"].get("byte_fallback"))
    _check_splitting(saved.get("pre_tokenizer"))
    normalizer = model.normalizer_spec
    normalizer.precompiled_charsmap = _charsmap(saved.get("normalizer"))
    normalizer.add_dummy_prefix = normalizer.remove_extra_whitespaces = True
    normalizer.escape_whitespaces = True
    return model.SerializeToString(deterministic=True)


def _pieces(model: dict[str, Any]) -> list[tuple[str, float]]:
    """The pieces with their scores, in the order of their ids."""
    if model.get("type", "Unigram" if "unk_id" in model else "?") != "Unigram":
        raise ValueError(f"its vocabulary is of the type {model.get('type')}, expected Unigram")
    pieces = [(str(text), float(score)) for text, score in model["vocab"]]
    while pieces and _SENTINEL.fullmatch(pieces[-1][0]):
        pieces.pop()
    if len(pieces) < 4 or pieces[1][0] != "</s>" or model["unk_id"] != 2:
        raise ValueError(
            "its first pieces are not padding, </s> and the unknown one, as a T5's are"
        )
    if not all(math.isfinite(score) for _, score in pieces):
        raise ValueError("a score of its pieces is not finite")
    return pieces


def _kind(number: int, text: str) -> int:
    """SentencePiece's type of a piece: 1 normal, 2 unknown, 3 control, 6 a byte."""
    if number < 3:
        return 2 if number == 2 else 3
    return 6 if _BYTE.fullmatch(text) else 1


def _is_usual(step: dict[str, Any]) -> bool:
    """Whether a step of normalizing is the table's, or what SentencePiece does anyway."""
    if step["type"] == "Replace":
        return step.get("pattern") == {"Regex": " {2,}"} and step.get("content") in (" ", "▁")
    return step["type"] in ("Precompiled", "Strip")


def _check_splitting(splitter: dict[str, Any] | None) -> None:
    """Refuse what splits texts in another way than at spaces, which are put before the first."""
    if splitter is None:
        return
    for step in splitter["pretokenizers"] if splitter["type"] == "Sequence" else [splitter]:
        first = step.get("prepend_scheme", "always") == "always"
        first = first and step.get("add_prefix_space", True) is True
        mark = step.get("replacement", "▁") == "▁"
        if step["type"] not in ("WhitespaceSplit", "Metaspace") or not (first and mark):
            raise ValueError(f"it splits texts by {excerpt(step)}")


def check_added(directory: Path, root: Path, pieces: Container[str]) -> None:
    """Refuse tokens that were added to the vocabulary's `pieces`: they would be lost.

    Sentinels and what stands for padding, the end and the unknown are T5's own.

    Raises:
        OSError, ValueError: there are others, or a file of them cannot be read.
    """
    for name in _added_tokens(directory, root):
        if name not in pieces and name not in _OWN and not _SENTINEL.fullmatch(name):
            raise ValueError(
                f"the token {excerpt(name)} was added to its vocabulary, which has no piece of it"
            )


def _added_tokens(directory: Path, root: Path) -> Iterator[str]:
    """The tokens that any file of a tokenizer's says of beside the pieces, slow or fast."""
    files = {
        "added_tokens.json": list,
        "tokenizer.json": lambda saved: saved.get("added_tokens") or [],
        "tokenizer_config.json": _in_config,
        "special_tokens_map.json": lambda saved: [*_flat(saved.values())],
    }
    for name, tokens in files.items():
        if (directory / name).exists():
            saved = read_json(directory / name, BYTES, root)
            if not isinstance(saved, dict):
                raise ValueError(f"{name} is no table")
            yield from (str(t["content"] if isinstance(t, dict) else t) for t in tokens(saved))


def _in_config(saved: dict[str, Any]) -> list[Any]:
    """The tokens of a tokenizer_config.json, by their ids and by what they are for."""
    named = (saved.get(key) for key in ("additional_special_tokens", "extra_special_tokens"))
    return [*(saved.get("added_tokens_decoder") or {}).values(), *_flat(named)]


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    """Tokens, some of which are in lists, or by name."""
    for value in values:
        if isinstance(value, dict) and "content" not in value:
            yield from value.values()
        elif isinstance(value, list):
            yield from value
        elif value is not None:
            yield value


def _charsmap(normalizer: dict[str, Any] | None) -> bytes:
    """The table of what is normalized; empty where there is none.

    Strips and runs of spaces are what SentencePiece does anyway.
    """
    if normalizer is None:
        return b""
    steps = normalizer["normalizers"] if normalizer["type"] == "Sequence" else [normalizer]
    tables = [
        base64.b64decode(s["precompiled_charsmap"]) for s in steps if s["type"] == "Precompiled"
    ]
    others = {str(s["type"]) for s in steps if not _is_usual(s)}
    if others or len(tables) > 1:
        raise ValueError(f"it normalizes by {', '.join(sorted(others)) or 'two tables'}")
    return tables[0] if tables else b""

"""Text to token ids and back, by sentencepiece itself, with the preset's own vocabulary."""

import hashlib
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

from compacter_cli.errors import MissingResourceError, UsageError, excerpt
from compacter_cli.files import read_file, read_json
from compacter_cli.t5.hf_config import root_of
from compacter_cli.t5.hf_vocabulary import check_added, proto_of
from compacter_cli.t5.shapes import is_hugging_face_s

PAD, END, UNKNOWN = 0, 1, 2  # T5's ids; the pad also starts every decoder input
VOCABULARY = "assets/tokenizer/vocabulary.spm"  # where KerasHub saves it
SPIECE, TABLE = "spiece.model", "tokenizer.json"  # where Hugging Face does, and of a fast tokenizer
VOCABULARY_BYTES = 64_000_000  # T5's has 0.8 MB, mT5's, the largest, 4.3 MB
FEW = (
    32  # texts, up to which sentencepiece's threads for a list take longer to start than they save
)


class Vocabulary:
    """A SentencePiece vocabulary.

    Args:
        proto: the serialized SentencePiece model.

    Attributes:
        sha256: hash of `proto`: two backbones agree on tokens where this agrees.

    Raises:
        UsageError: `proto` is no SentencePiece model.
    """

    def __init__(self, proto: bytes) -> None:
        import sentencepiece

        self.proto = proto
        self.sha256 = hashlib.sha256(proto).hexdigest()
        try:
            self._pieces = sentencepiece.SentencePieceProcessor(model_proto=proto)
        except RuntimeError as error:
            raise UsageError("not a SentencePiece vocabulary, or cut short") from error
        if not proto or not len(self):  # of no bytes sentencepiece says more than it raises
            raise UsageError("not a SentencePiece vocabulary: it holds no pieces")

    def __len__(self) -> int:
        return self._pieces.get_piece_size()

    def __contains__(self, piece: object) -> bool:
        return isinstance(piece, str) and self._text(piece) == piece

    def _text(self, piece: str) -> str:
        return self._pieces.id_to_piece(self._pieces.piece_to_id(piece))

    def encode(self, texts: Iterable[str]) -> list[list[int]]:
        """Token ids of each of `texts`, without an end token."""
        texts = list(texts)
        if len(texts) <= FEW:
            return [self._pieces.encode(text) for text in texts]
        return self._pieces.encode(texts)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token `ids` up to the first end token; ids beyond the vocabulary are skipped.

        A backbone can have more rows than the vocabulary has pieces (32,128 and 32,100 in T5), and
        a diverged model does emit them.
        """
        kept = []
        for token in ids:
            if token == END:
                break
            if PAD < token < len(self):
                kept.append(int(token))
        return self._pieces.decode(kept)

    def longest(self, texts: Sequence[str]) -> tuple[str, int]:
        """`(text, tokens)` of the longest of `texts`, its end token counted."""
        lengths = [len(ids) + 1 for ids in self.encode(texts)]
        length = max(lengths)
        return list(texts)[lengths.index(length)], length


def read_vocabulary(directory: str | PathLike[str]) -> Vocabulary:
    """The `Vocabulary` of a T5's directory, where KerasHub or Hugging Face saves it.

    Raises:
        MissingResourceError: there is none.
        UsageError: it is damaged, of a size that no vocabulary has, lies outside the directory, or
            is none of SentencePiece's.
    """
    directory = Path(directory)
    hugging_face = is_hugging_face_s(directory)
    names = (SPIECE, TABLE) if hugging_face else (VOCABULARY,)
    path = next((directory / name for name in names if (directory / name).exists()), None)
    if path is None:
        raise _of_no_pieces(directory) or MissingResourceError(
            f"the preset has no vocabulary: {directory / names[0]} is missing",
            f"copy {SPIECE} or {TABLE} from where the model is from"
            if hugging_face
            else "save the preset with its tokenizer (T5Seq2SeqLM.save_to_preset)",
        )
    try:
        root = root_of(directory)
        proto = proto_of(path, root) if path.name == TABLE else None
        found = Vocabulary(proto or read_file(path, VOCABULARY_BYTES, root))
        if hugging_face:
            check_added(directory, root, found)
        return found
    except (OSError, ValueError, UsageError) as error:
        damaged = not isinstance(error, ValueError)  # else it is another tokenizer than a T5's
        hint = (
            f"copy {path.name} again from where the model is from"
            if damaged
            else "T5 v1.0, v1.1, Flan, LM-adapted and mT5 are read, with their own vocabularies"
        )
        raise UsageError(f"{path}: {error}", hint) from error


def _of_no_pieces(directory: Path) -> UsageError | None:
    """The error of a directory whose tokenizer is none of pieces, such as ByT5's; else `None`."""
    try:
        saved = read_json(directory / "tokenizer_config.json", within=root_of(directory))
        name = str(saved["tokenizer_class"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if name.startswith(("T5", "MT5")):
        return None
    return UsageError(
        f"{directory}: its tokenizer is a {excerpt(name)}, expected a T5's of SentencePiece pieces",
        "T5 v1.0, v1.1, Flan, LM-adapted and mT5 are read",
    )

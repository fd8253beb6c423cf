"""A SentencePiece vocabulary made from a text, and the text cut into pieces of its tokens."""

from __future__ import annotations

import io
import re
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError
from compacter_cli.t5.vocabulary import END, PAD, UNKNOWN, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy import int32, int64
    from numpy.typing import NDArray

    from compacter_cli.pretraining.sections import VocabularySection

COVERED = string.ascii_letters + string.digits + string.punctuation


def sentinels_of(count: int) -> list[str]:
    """The texts of `count` sentinels, in their order."""
    return [f"<extra_id_{number}>" for number in range(count)]


def smallest_vocabulary(sentinels: int) -> int:
    """How many pieces every vocabulary holds, whatever the text."""
    return 3 + sentinels + len(COVERED) + 1  # the last is the mark of a word's beginning


def train_vocabulary(texts: Iterable[str], section: VocabularySection) -> Vocabulary:
    """A vocabulary of at most `section.size` pieces, the same for the same texts.

    Pieces are merged by byte-pair encoding: of a text of few words a unigram model keeps fragments
    where whole words would fit.

    T5's special ids (pad 0, end 1, unknown 2), the sentinels, and every letter, digit and
    punctuation mark of ASCII are in it; of the text's other characters, those that make up
    99.95 % of it.

    Raises:
        CompacterError: the size is too small for the text's characters.
    """
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=section.size,
            model_type="bpe",
            hard_vocab_limit=False,  # a small text has words for fewer pieces
            user_defined_symbols=sentinels_of(section.sentinels),
            required_chars=COVERED,
            max_sentence_length=2**30,  # longer ones are left out, in silence
            num_threads=1,  # more threads add up in another order each time
            pad_id=PAD,
            eos_id=END,
            unk_id=UNKNOWN,
            bos_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise _explained(error, section) from error
    return Vocabulary(model.getvalue())


def _explained(error: RuntimeError, section: VocabularySection) -> CompacterError:
    if sizes := re.search(r"smaller than required_chars\. \d+ vs (\d+)", str(error)):
        return CompacterError(
            f"vocabulary.size = {section.size} is too small for the characters of this text",
            f"--set vocabulary.size={sizes[1]} is the least, some hundreds more are better",
        )
    return CompacterError(
        f"no vocabulary can be made of this text: {str(error).strip()}",
        "is it text, a passage a line?",
    )


def sentinel_ids(vocabulary: Vocabulary, count: int) -> list[int]:
    """Token ids of `count` sentinels, in their order."""
    return [ids[-1] for ids in vocabulary.encode(sentinels_of(count))]


@dataclass(frozen=True)
class Pieces:
    """Token ids of many pieces, one after the other in one array.

    Attributes:
        ids: of all tokens.
        bounds: where each piece begins, and where the last one ends.
    """

    ids: NDArray[int32]
    bounds: NDArray[int64]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def __getitem__(self, index: int) -> NDArray[int32]:
        return self.ids[self.bounds[index] : self.bounds[index + 1]]


def cut_into_pieces(vocabulary: Vocabulary, texts: Sequence[str], length: int) -> Pieces:
    """The pieces of `texts`: of each, as few of about equal length as `length` tokens allow."""
    import numpy as np

    parts: list[NDArray[int32]] = []
    sizes: list[int] = []
    for start in range(0, len(texts), 10_000):  # lists of ids take many times an array's room
        for ids in vocabulary.encode(texts[start : start + 10_000]):
            sizes += _sizes(len(ids), length)
            parts.append(np.array(ids, dtype=np.int32))
    ids = np.concatenate(parts) if parts else np.zeros(0, np.int32)
    return Pieces(ids, np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)]))


def _sizes(tokens: int, length: int) -> list[int]:
    """Sizes of the pieces of a passage: 50 tokens at 24 are 17, 17 and 16."""
    count = -(-tokens // length)
    return [tokens // count + (number < tokens % count) for number in range(count)]

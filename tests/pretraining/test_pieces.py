"""The vocabulary of a text, and the pieces its passages are cut into."""

import string

import pytest

from compacter_cli.errors import CompacterError
from compacter_cli.pretraining.pieces import (
    Pieces,
    cut_into_pieces,
    sentinel_ids,
    smallest_vocabulary,
    train_vocabulary,
)
from compacter_cli.pretraining.sections import VocabularySection
from compacter_cli.t5.vocabulary import END, PAD, UNKNOWN

SECTION = VocabularySection(size=160, sentinels=5)


@pytest.fixture(scope="module")
def texts():
    parts = ["ba", "ko", "ri", "tu", "mel", "gor", "sim", "pau", "wex", "lid"]
    words = [a + b + c for a in parts for b in parts for c in ("n", "sta", "do", "ling")]
    return [" ".join(words[(i * k) % 400] for k in range(3, 12)) + "." for i in range(1, 200)]


@pytest.fixture(scope="module")
def vocabulary(texts):
    return train_vocabulary(texts, SECTION)


def pieces_of(vocabulary):
    """`{piece: id}`, read by sentencepiece from the serialized model."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary.proto)
    return {processor.id_to_piece(i): i for i in range(processor.get_piece_size())}


def test_the_vocabulary_has_the_size_asked_for_and_t5s_special_ids(vocabulary):
    found = pieces_of(vocabulary)
    assert len(vocabulary) == len(found) == 160
    assert (found["<pad>"], found["</s>"], found["<unk>"]) == (PAD, END, UNKNOWN) == (0, 1, 2)
    assert "<s>" not in found


def test_sentinels_are_pieces_of_their_own(vocabulary):
    found = pieces_of(vocabulary)
    names = [f"<extra_id_{number}>" for number in range(5)]
    assert sentinel_ids(vocabulary, 5) == [found[name] for name in names]
    assert len(set(sentinel_ids(vocabulary, 5))) == 5
    assert vocabulary.decode(sentinel_ids(vocabulary, 1)) == "<extra_id_0>"


def test_letters_digits_and_punctuation_are_covered_though_the_text_has_few(vocabulary):
    written = string.ascii_letters + string.digits + ".,;:!?'\"-()%$&/@#"
    for letter in written:
        (ids,) = vocabulary.encode([letter])
        assert UNKNOWN not in ids, letter
    text = "Zebra (42%), it's 'X'?"
    assert vocabulary.decode(vocabulary.encode([text])[0]) == text


def test_the_same_texts_make_the_same_vocabulary(vocabulary, texts):
    assert train_vocabulary(texts, SECTION).sha256 == vocabulary.sha256
    assert train_vocabulary(texts[:30], SECTION).sha256 != vocabulary.sha256


def test_a_text_of_few_words_makes_a_smaller_vocabulary():
    small = train_vocabulary(["one two", "two three"], VocabularySection(size=5_000, sentinels=5))
    assert smallest_vocabulary(5) <= len(small) < 200


def test_a_very_long_line_is_read_too():
    words = " ".join(f"zyx{number}" for number in range(3_000))
    found = train_vocabulary([words], VocabularySection(size=200, sentinels=5))
    assert any("zyx" in piece for piece in pieces_of(found))


def test_the_least_size_is_enough_for_an_english_text(texts):
    size = smallest_vocabulary(5)
    assert len(train_vocabulary(texts, VocabularySection(size=size, sentinels=5))) == size


def test_a_text_of_many_characters_says_what_size_it_needs(capfd):
    texts = [chr(0x4E00 + number) * 3 for number in range(400)]
    with pytest.raises(CompacterError, match=r"vocabulary\.size = 160 is too small") as caught:
        train_vocabulary(texts, SECTION)
    size = int(caught.value.hint.split("vocabulary.size=")[1].split()[0])
    assert len(train_vocabulary(texts, VocabularySection(size=size, sentinels=5))) == size
    with pytest.raises(CompacterError):
        train_vocabulary(texts, VocabularySection(size=size - 1, sentinels=5))
    assert capfd.readouterr() == ("", "")


def test_a_text_of_nothing_but_odd_characters_is_an_error():
    with pytest.raises(CompacterError, match="no vocabulary can be made of this text"):
        train_vocabulary(["\x01", "\x02"], SECTION)


@pytest.mark.parametrize("length", [2, 5, 48])
def test_pieces_put_together_are_the_passages(vocabulary, texts, length):
    pieces = cut_into_pieces(vocabulary, texts, length)
    expected = [token for ids in vocabulary.encode(texts) for token in ids]
    assert [token for piece in pieces for token in piece.tolist()] == expected
    assert max(len(piece) for piece in pieces) <= length


def test_a_passage_is_cut_as_seldom_and_as_evenly_as_can_be(vocabulary, texts):
    text = " ".join(texts)
    (ids,) = vocabulary.encode([text])
    sizes = [len(piece) for piece in cut_into_pieces(vocabulary, [text], 50)]
    assert len(sizes) == -(-len(ids) // 50)
    assert max(sizes) - min(sizes) <= 1


def test_a_passage_that_leaves_no_token_is_left_out(vocabulary):
    pieces = cut_into_pieces(vocabulary, ["ban", "\x01", "kodo"], 48)
    assert len(pieces) == 2
    assert len(cut_into_pieces(vocabulary, [], 48)) == 0


def test_pieces_are_read_by_their_bounds():
    import numpy as np

    pieces = Pieces(np.arange(5, dtype=np.int32), np.array([0, 2, 5]))
    assert [piece.tolist() for piece in (pieces[0], pieces[1])] == [[0, 1], [2, 3, 4]]

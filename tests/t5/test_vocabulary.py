"""Text to tokens and back, and the vocabulary that is made on the spot."""

import hashlib
import os
import subprocess
import sys

import pytest

from compacter_cli.errors import CompacterError, MissingResourceError, UsageError
from compacter_cli.t5.preset_places import find_vocabulary
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.vocabulary import END, FEW, PAD, UNKNOWN, Vocabulary, read_vocabulary
from compacter_cli.tasks.smoke import SMOKE


@pytest.fixture(scope="module")
def vocabulary():
    return tiny_vocabulary()


@pytest.fixture
def preset(tmp_path, vocabulary):
    """A preset directory with a vocabulary and nothing else that is read here."""
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    place = tmp_path / "assets" / "tokenizer"
    place.mkdir(parents=True)
    (place / "vocabulary.spm").write_bytes(vocabulary.proto)
    return tmp_path


def test_the_tiny_vocabulary_is_byte_for_byte_the_same_in_another_process(vocabulary, tmp_path):
    code = "from compacter_cli.t5.random_backbone import tiny_vocabulary as make; import sys; "
    code += "sys.stdout.buffer.write(make().proto)"
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "54321", "LC_ALL": "C"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    assert other.stdout == vocabulary.proto
    assert vocabulary.sha256 == hashlib.sha256(other.stdout).hexdigest()


def test_the_tiny_vocabulary_fits_its_backbone_and_has_t5s_special_tokens(vocabulary):
    import sentencepiece

    assert len(vocabulary) <= 128
    pieces = sentencepiece.SentencePieceProcessor(model_proto=vocabulary.proto)
    assert (pieces.pad_id(), pieces.eos_id(), pieces.unk_id()) == (PAD, END, UNKNOWN) == (0, 1, 2)
    assert pieces.bos_id() == -1


def test_the_tiny_vocabulary_knows_every_text_of_the_smoke_task(vocabulary):
    rows = [row for split in SMOKE.generate().values() for row in split]
    texts = [f"smoke {SMOKE.source(row)}" for row in rows] + list(SMOKE.targets)
    for text, ids in zip(texts, vocabulary.encode(texts), strict=True):
        assert UNKNOWN not in ids
        assert vocabulary.decode(ids) == text


def test_encode_adds_no_end_token_and_keeps_the_order(vocabulary):
    one, two = vocabulary.encode(["apple zinc", "zinc"])
    assert END not in one + two
    assert vocabulary.decode(one) == "apple zinc"
    assert vocabulary.decode(two) == "zinc"
    assert vocabulary.encode([]) == []


def test_encode_takes_any_iterable(vocabulary):
    assert vocabulary.encode(iter(["zinc"])) == vocabulary.encode(("zinc",))


def test_decode_stops_at_the_first_end_token(vocabulary):
    (ids,) = vocabulary.encode(["zinc"])
    assert vocabulary.decode([*ids, END, *ids]) == "zinc"
    assert vocabulary.decode([END, *ids]) == ""


def test_decode_skips_pads_wherever_they_stand(vocabulary):
    (ids,) = vocabulary.encode(["zinc apple"])
    padded = [PAD]
    for token in ids:
        padded += [token, PAD]
    assert vocabulary.decode(padded) == "zinc apple"


def test_decode_skips_ids_beyond_the_vocabulary(vocabulary):
    (ids,) = vocabulary.encode(["zinc"])
    assert vocabulary.decode([len(vocabulary), *ids, 32_127, 10**9]) == "zinc"
    last = len(vocabulary) - 1  # this one does exist
    assert vocabulary.decode([last]) != ""


def test_decode_of_nothing_is_empty(vocabulary):
    assert vocabulary.decode([]) == ""
    assert vocabulary.decode([PAD, PAD]) == ""


def test_the_longest_text_counts_its_end_token(vocabulary):
    short, long = vocabulary.encode(["zinc", "zinc apple iron"])
    assert len(long) > len(short)
    assert vocabulary.longest(["zinc", "zinc apple iron"]) == ("zinc apple iron", len(long) + 1)
    assert vocabulary.longest(["zinc"]) == ("zinc", len(short) + 1)


@pytest.mark.parametrize("proto", [b"<html>404</html>", b"\x00" * 50, b""])
def test_bytes_that_are_no_vocabulary_are_refused(proto):
    with pytest.raises(UsageError, match="not a SentencePiece vocabulary"):
        Vocabulary(proto)


def test_a_damaged_vocabulary_file_is_named(preset):
    path = preset / "assets" / "tokenizer" / "vocabulary.spm"
    path.write_bytes(b"no model at all")
    with pytest.raises(CompacterError) as caught:
        read_vocabulary(preset)
    assert str(path) in str(caught.value)


def test_a_truncated_vocabulary_is_refused(preset, vocabulary):
    path = preset / "assets" / "tokenizer" / "vocabulary.spm"
    path.write_bytes(vocabulary.proto[:-100])
    with pytest.raises(CompacterError):
        read_vocabulary(preset)


def test_a_preset_without_vocabulary_is_a_missing_resource_with_its_path(preset):
    path = preset / "assets" / "tokenizer" / "vocabulary.spm"
    path.unlink()
    with pytest.raises(MissingResourceError) as caught:
        read_vocabulary(preset)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_the_vocabulary_of_a_directory_is_its_own(preset, vocabulary):
    found = find_vocabulary(str(preset))
    assert (found.proto, found.sha256) == (vocabulary.proto, vocabulary.sha256)
    assert len(found) == len(vocabulary)


def test_the_vocabulary_of_the_random_backbone_is_the_made_one(vocabulary):
    assert find_vocabulary("random/tiny").proto == vocabulary.proto


def test_a_kerashub_name_is_not_looked_up():
    assert find_vocabulary("t5_base_multi") is None


def test_a_vocabulary_of_absurd_size_is_not_read(preset):
    path = preset / "assets" / "tokenizer" / "vocabulary.spm"
    os.truncate(path, 10**12)
    with pytest.raises(UsageError, match=r"vocabulary\.spm: it has 1000\.00 GB; more than"):
        read_vocabulary(preset)


def test_a_vocabulary_out_of_the_preset_is_not_followed(preset, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "assets"
    (preset / "assets").rename(elsewhere)
    (preset / "assets").symlink_to(elsewhere)
    with pytest.raises(UsageError, match=r"it is a link to .*, outside of its directory"):
        read_vocabulary(preset)


@pytest.mark.timeout(120)
def test_a_pipe_in_place_of_a_vocabulary_is_refused_at_once(preset):
    path = preset / "assets" / "tokenizer" / "vocabulary.spm"
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UsageError, match="it is no file"):
        read_vocabulary(preset)


def test_few_texts_are_encoded_as_many_are(vocabulary):
    texts = [f"the old dog {number}" for number in range(2 * FEW)]
    assert vocabulary.encode(texts) == [vocabulary.encode([text])[0] for text in texts]

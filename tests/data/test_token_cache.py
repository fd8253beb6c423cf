"""Token ids on disk: the same as without, and never in the way."""

import os

import numpy as np
import pytest

from compacter_cli.data import token_cache
from compacter_cli.data.token_cache import encode as encoded

TEXTS = ["iron apple zinc", "", "größe \u2028 iron", "iron", "iron apple zinc", "smoke"]


def encode(vocabulary, texts):
    return list(encoded(vocabulary, texts))


class Letters:
    """A vocabulary of letters that counts how often it is asked."""

    def __init__(self, sha256="a" * 64, shift=0):
        self.sha256, self.shift, self.asked = sha256, shift, 0

    def encode(self, texts):
        self.asked += 1
        return [[ord(letter) + self.shift for letter in text] for text in texts]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache's directory, in which even these few texts are a file."""
    monkeypatch.setenv("COMPACTER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(token_cache, "WORTH", len(TEXTS))
    return tmp_path / "cache" / "tokens"


def files(cache):
    return sorted(cache.iterdir()) if cache.is_dir() else []


def asked(texts, **vocabulary):
    """Whether a fresh vocabulary was asked for the ids of texts, which are right."""
    fresh = Letters(**vocabulary)
    assert encode(fresh, texts) == Letters(**vocabulary).encode(texts)
    return fresh.asked > 0


def test_ids_from_the_cache_are_those_of_the_vocabulary():
    vocabulary = Letters()
    first = encode(vocabulary, TEXTS)
    again = encode(vocabulary, iter(TEXTS))
    assert vocabulary.asked == 1
    assert first == again == Letters().encode(TEXTS)
    assert {type(token) for ids in again for token in ids} == {int}


def test_a_real_vocabulary_is_cached_to_the_same_ids(cache):
    from compacter_cli.t5.random_backbone import tiny_vocabulary

    plain = tiny_vocabulary().encode(TEXTS)
    assert encode(tiny_vocabulary(), TEXTS) == plain
    assert len(files(cache)) == 1
    assert encode(tiny_vocabulary(), TEXTS) == plain


def test_texts_without_any_token_are_cached():
    assert asked([""] * len(TEXTS))
    assert not asked([""] * len(TEXTS))


@pytest.mark.parametrize(
    "others",
    [
        [*TEXTS[1:], ""],
        TEXTS[::-1],
        [*TEXTS[:-1], "smokE"],
        ["iron apple", "zinc", *TEXTS[2:]],
    ],
)
def test_other_texts_are_other_entries(cache, others):
    assert asked(TEXTS)
    assert asked(others)
    assert len(files(cache)) == 2


def test_texts_that_are_the_same_in_one_piece_are_other_entries(cache, monkeypatch):
    monkeypatch.setattr(token_cache, "WORTH", 2)
    groups = [["ab", "c"], ["a", "bc"], ["abc", ""], ["", "abc"], ["a 2 b", ""], ["a", "b"]]
    for texts in groups:
        assert asked(texts)
    assert len(files(cache)) == len(groups)


def test_another_vocabulary_is_another_entry(cache):
    assert asked(TEXTS)
    assert asked(TEXTS, sha256="b" * 64, shift=1)
    assert not asked(TEXTS)
    assert not asked(TEXTS, sha256="b" * 64, shift=1)
    assert len(files(cache)) == 2


def test_many_texts_are_several_files_of_which_those_with_a_change_are_made_again(
    cache, monkeypatch
):
    monkeypatch.setattr(token_cache, "WORTH", 2)
    assert asked(TEXTS)
    assert len(files(cache)) == 3
    vocabulary = Letters()
    changed = [*TEXTS[:2], "new", *TEXTS[3:], "one more"]
    assert encode(vocabulary, changed) == Letters().encode(changed)
    assert vocabulary.asked == 2
    assert len(files(cache)) == 5
    assert not asked(changed)  # the last file has one text


def test_texts_are_taken_and_encoded_as_ids_are_asked_for(monkeypatch):
    monkeypatch.setattr(token_cache, "AT_ONCE", 2)
    vocabulary, texts = Letters(), iter(["a", "b", "c", "d", "e"])
    ids = encoded(vocabulary, texts)
    assert vocabulary.asked == 0
    assert [next(ids), next(ids)] == [[97], [98]]
    assert vocabulary.asked == 1
    assert list(ids) == [[99], [100], [101]]


def test_few_texts_are_not_cached(cache, monkeypatch):
    monkeypatch.setattr(token_cache, "WORTH", len(TEXTS) + 1)
    assert asked(TEXTS)
    assert asked(TEXTS)
    assert files(cache) == []
    monkeypatch.setattr(token_cache, "WORTH", len(TEXTS))
    assert asked(TEXTS)
    assert not asked(TEXTS)


def test_only_large_sets_are_worth_a_file(monkeypatch, cache):
    monkeypatch.undo()
    monkeypatch.setenv("COMPACTER_CACHE", str(cache.parent))
    encode(Letters(), ["a"] * 1_000)
    assert not cache.exists()


def flip(path):
    data = bytearray(path.read_bytes())
    data[data.index(b"NUMPY") + 200] ^= 0xFF
    path.write_bytes(data)


def empty(path):
    path.write_bytes(b"")


def replace_by_text(path):
    path.write_text("nothing of the kind")


def replace_by_another_archive(path):
    np.savez(path, other=np.arange(3))


def take_a_text_away(path):
    with np.load(path) as file:
        ids, ends = file["ids"], file["ends"]
    np.savez(path, ids=ids, ends=ends[:-1])


def take_a_token_away(path):
    with np.load(path) as file:
        ids, ends = file["ids"], file["ends"]
    np.savez(path, ids=ids[:-1], ends=ends)


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def replace_by_a_plain_array(path):
    import numpy as np

    with open(path, "wb") as file:
        np.save(file, np.arange(3))


DAMAGES = [
    cut,
    replace_by_a_plain_array,
    flip,
    empty,
    replace_by_text,
    replace_by_another_archive,
    take_a_text_away,
    take_a_token_away,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_file_is_encoded_again_and_mended(cache, damage):
    assert asked(TEXTS)
    (path,) = files(cache)
    damage(path)
    assert asked(TEXTS)
    assert files(cache) == [path]
    assert not asked(TEXTS)


class Trap:
    """What a pickle may do: here it makes a directory."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_a_pickle_in_the_cache_is_never_opened(cache, tmp_path):
    import pickle

    sprung = tmp_path / "sprung"
    assert asked(TEXTS)
    (path,) = files(cache)
    path.write_bytes(pickle.dumps(Trap(sprung)))
    assert asked(TEXTS)
    ends = np.cumsum([len(text) for text in TEXTS])
    np.savez(path, ids=np.array([Trap(sprung)], dtype=object), ends=ends)
    assert asked(TEXTS)
    assert not sprung.exists()


def test_what_is_written_holds_no_pickle(cache):
    encode(Letters(), TEXTS)
    (path,) = files(cache)
    with np.load(path, allow_pickle=False) as file:
        assert {name: file[name].dtype.kind for name in file} == {"ids": "i", "ends": "i"}


def test_a_directory_that_cannot_be_written_costs_only_the_cache(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("COMPACTER_CACHE", str(tmp_path / "file"))
    assert asked(TEXTS)
    assert asked(TEXTS)
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_full_disk_costs_only_the_cache_and_leaves_nothing(cache, monkeypatch):
    def full(path, **_):
        path.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert asked(TEXTS)
    assert files(cache) == []


def test_without_a_variable_the_users_cache_is_used(tmp_path, monkeypatch):
    monkeypatch.delenv("COMPACTER_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    encode(Letters(), TEXTS)
    assert len(files(tmp_path / ".cache" / "compacter" / "tokens")) == 1
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    encode(Letters(), TEXTS)
    assert len(files(tmp_path / "xdg" / "compacter" / "tokens")) == 1


def test_a_home_in_the_variable_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COMPACTER_CACHE", "~/mine")
    encode(Letters(), TEXTS)
    assert len(files(tmp_path / "mine" / "tokens")) == 1

"""Directories replaced whole, whatever a process that died left behind."""

import errno
import os
import resource
from contextlib import suppress

import pytest

from compacter_cli.errors import CompacterError
from compacter_cli.files import (
    JSON_DEPTH,
    check_space,
    new_directory,
    parse_json,
    present,
    previous,
    read_file,
    read_json,
    size_text,
    swap_in,
    sync_tree,
    write_durably,
    writing,
)


@pytest.fixture
def directory(tmp_path):
    """Makes a directory of one file."""

    def make(name, text):
        (tmp_path / name).mkdir()
        write_durably(tmp_path / name / "file", text.encode())
        return tmp_path / name

    return make


def test_a_new_directory_takes_its_place(directory, tmp_path):
    swap_in(directory("fresh", "new"), tmp_path / "place")
    assert (tmp_path / "place" / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_it_takes_the_place_of_the_one_before(directory, tmp_path):
    place = directory("place", "old")
    swap_in(directory("fresh", "new"), place)
    assert (place / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_swap_that_never_finished_left_the_old_one(directory, tmp_path):
    place = directory("place", "old")
    assert present(place) == place
    place.rename(previous(place))
    assert (present(place) / "file").read_text() == "old"
    swap_in(directory("fresh", "new"), place)
    assert (present(place) / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_a_directory_that_is_written_takes_its_name_at_the_end(tmp_path):
    for place in (tmp_path / "above" / "new", tmp_path / "empty"):
        with new_directory(place) as fresh:
            assert fresh.parent == place.parent
            (fresh / "file").write_text("new")
            assert not (place / "file").exists()
        assert (place / "file").read_text() == "new"
        assert list(place.parent.glob("*.new-*")) == []
        (tmp_path / "empty").mkdir(exist_ok=True)


def test_a_directory_that_was_filled_meanwhile_stays(directory, tmp_path):
    writing = new_directory(tmp_path / "place")
    (writing.__enter__() / "file").write_text("new")
    place = directory("place", "mine")
    with pytest.raises(OSError, match="not empty"):
        writing.__exit__(None, None, None)
    assert (place / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["place"]


def test_of_a_directory_that_could_not_be_written_nothing_is_left(tmp_path):
    with suppress(KeyboardInterrupt), new_directory(tmp_path / "above" / "place") as fresh:
        (fresh / "file").write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_is_nowhere_is_not_invented(tmp_path):
    assert present(tmp_path / "place") == tmp_path / "place"


def test_syncing_changes_nothing(directory):
    place = directory("place", "old")
    (place / "below").mkdir()
    sync_tree(place)
    assert sorted(path.name for path in place.iterdir()) == ["below", "file"]


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (11_056, "11.06 kB"),
        (419_000_000, "419.00 MB"),
        (1_500_000_000, "1.50 GB"),
    ],
)
def test_bytes_as_people_read_them(count, text):
    assert size_text(count) == text


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EACCES, "give yourself the right to write there"),
        (errno.EPERM, "give yourself the right to write there"),
        (errno.EROFS, "give yourself the right to write there"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
    ],
)
def test_a_refused_permission_is_not_a_full_disk(tmp_path, number, hint):
    with pytest.raises(CompacterError) as caught, writing(tmp_path / "file"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"cannot write {tmp_path / 'file'}: {os.strerror(number)}"
    assert caught.value.hint == f"{hint}; what was saved before is whole"


# What may be anybody's.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, -2.5, null, true, "\u00e9\u2603"]}', {"a": [1, -2.5, None, True, "é☃"]}),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        (r'"\ud83d\ude00"', "😀"),  # a whole pair
        ("[" * JSON_DEPTH + "1" + "]" * JSON_DEPTH, None),
    ],
)
def test_json_that_is_sound_is_read(text, value):
    found = parse_json(text)
    assert value is None or found == value
    assert parse_json(text.encode()) == found


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[" * 5_000 + "]" * 5_000, "nested deeper"),
        ("[" * (JSON_DEPTH + 1) + "1" + "]" * (JSON_DEPTH + 1), "nested deeper"),
        ('{"a":' * 200_000, "nested deeper"),
        ("9" * 5_000, "an integer of 5,000 digits"),
        (r'{"a": ["\u0000"]}', "a NUL"),
        (r'{"\ud800": 1}', "half of a surrogate pair"),
        (b"\xff\xfe", "decode"),
        ("{", "Expecting"),
        ("", "Expecting"),
    ],
)
def test_json_that_is_not_is_a_value_error(text, what):
    with pytest.raises(ValueError, match=what):
        parse_json(text)


def test_a_file_is_read_up_to_its_limit(tmp_path):
    path = tmp_path / "file.json"
    path.write_text("[1, 2]")
    assert read_json(path) == [1, 2]
    assert read_file(path, 6) == b"[1, 2]"
    assert read_file(path, 10**15) == b"[1, 2]"  # takes memory for what is there
    with pytest.raises(ValueError, match="6 bytes; more than 5 bytes are not read"):
        read_file(path, 5)


def test_what_is_no_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no file"):
        read_file(tmp_path / "pipe", 100)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        read_file(tmp_path / "folder", 100)


def test_a_link_is_followed_within_its_directory_only(tmp_path):
    inside, outside = tmp_path / "folder" / "file", tmp_path / "file"
    inside.parent.mkdir()
    for path in (inside, outside):
        path.write_text("1")
    (inside.parent / "to_inside").symlink_to("file")
    (inside.parent / "to_outside").symlink_to("../file")
    assert read_json(inside.parent / "to_inside") == 1
    with pytest.raises(ValueError, match="outside of its directory"):
        read_json(inside.parent / "to_outside")
    assert read_json(inside.parent / "to_outside", within=tmp_path) == 1


def test_space_is_checked_and_nothing_of_it_stays(tmp_path):
    check_space(tmp_path / "new", 10_000)
    assert list((tmp_path / "new").iterdir()) == []
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            check_space(tmp_path / "new", 10_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "new").iterdir()) == []

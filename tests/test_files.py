"""Directories replaced whole, whatever a process that died left behind."""

import pytest

from compacter_cli.files import present, previous, size_text, swap_in, sync_tree, write_durably


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

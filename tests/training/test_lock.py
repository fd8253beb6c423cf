import errno
import fcntl
import os
import subprocess
import sys

import pytest

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.training import lock as locks
from compacter_cli.training.lock import LOCK, Lock, check_free


def test_a_lock_is_a_file_that_names_its_holder_and_goes_with_it(tmp_path):
    lock = Lock(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert lock.take() is lock
    assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"
    lock.check()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_held_is_refused_and_stays_held(tmp_path):
    held = Lock(tmp_path).take()
    for refused in (Lock(tmp_path).take, lambda: check_free(tmp_path)):
        with pytest.raises(UsageError) as caught:
            refused()
        told = f"{tmp_path} is being written by another process ({os.getpid()})"
        assert str(caught.value) == told
        assert "--output" in caught.value.hint
    held.check()
    held.release()
    check_free(tmp_path)
    Lock(tmp_path).take().release()


def test_what_is_no_number_in_the_file_is_not_shown(tmp_path):
    held = Lock(tmp_path).take()
    held.path.write_bytes(b"\x1b[2J\xff" * 100)
    with pytest.raises(UsageError, match=r"(?m)is being written by another process$"):
        Lock(tmp_path).take()
    held.release()


def test_the_file_of_a_process_that_died_is_no_lock(tmp_path):
    (tmp_path / LOCK).write_text("123456789012345678901234567890\n")
    check_free(tmp_path)
    assert (tmp_path / LOCK).exists()  # looking takes nothing away
    lock = Lock(tmp_path).take()
    assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_directory_that_is_not_there_is_free_and_cannot_be_locked(tmp_path):
    check_free(tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        Lock(tmp_path / "missing").take()


def test_looking_does_not_keep_the_lock(tmp_path):
    (tmp_path / LOCK).write_text("")
    check_free(tmp_path)
    Lock(tmp_path).take().release()


def test_a_child_does_not_inherit_the_lock(tmp_path):
    lock = Lock(tmp_path).take()
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False
    )
    lock.release()
    Lock(tmp_path).take().release()
    child.communicate(b"\n")
    assert child.returncode == 0


# A directory that is not the one any more.


def held_and(tmp_path, change):
    (tmp_path / "run").mkdir()
    lock = Lock(tmp_path / "run").take()
    change(tmp_path / "run")
    return lock


def remove(directory):
    (directory / LOCK).unlink()
    directory.rmdir()


def replace(directory):
    remove(directory)
    directory.mkdir()


def replace_and_take(directory):
    replace(directory)
    (directory / LOCK).write_text("1\n")


def move(directory):
    directory.rename(directory.with_name("moved"))


@pytest.mark.parametrize("change", [remove, replace, replace_and_take, move])
def test_a_directory_that_was_removed_or_replaced_is_noticed(tmp_path, change):
    lock = held_and(tmp_path, change)
    with pytest.raises(CompacterError, match="was removed, or replaced, while it was written to"):
        lock.check()
    lock.release()


def test_the_lock_of_another_is_left_at_the_release(tmp_path):
    lock = held_and(tmp_path, replace_and_take)
    lock.release()
    assert (tmp_path / "run" / LOCK).read_text() == "1\n"


def test_a_lock_that_was_never_taken_or_given_back_holds_nothing(tmp_path):
    lock = Lock(tmp_path)
    with pytest.raises(CompacterError):
        lock.check()
    lock.release()
    lock.take().release()
    lock.release()
    with pytest.raises(CompacterError):
        lock.check()


def test_a_file_that_its_holder_removed_while_it_was_waited_for_is_no_lock(tmp_path, monkeypatch):
    real, removed = locks._lock, []

    def lock_and_lose(file, path):
        real(file, path)
        if not removed:
            removed.append(path.unlink())

    monkeypatch.setattr(locks, "_lock", lock_and_lose)
    lock = Lock(tmp_path).take()
    assert removed == [None]
    lock.check()
    lock.release()


# What stands in its place.


def test_a_link_in_the_place_of_a_lock_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "mine.txt")
    check_free(tmp_path / "run")
    with pytest.raises(OSError, match="symbolic links"):
        Lock(tmp_path / "run").take()
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_folder_in_the_place_of_a_lock_cannot_be_taken(tmp_path):
    (tmp_path / LOCK).mkdir()
    check_free(tmp_path)
    with pytest.raises(IsADirectoryError):
        Lock(tmp_path).take()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_has_none_to_take(tmp_path, monkeypatch, number):
    def flock(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    first, second = Lock(tmp_path).take(), Lock(tmp_path).take()
    check_free(tmp_path)
    first.check()
    second.check()
    first.release()
    second.release()


def test_a_full_disk_leaves_no_lock_held(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space left"):
            Lock(tmp_path).take()
    Lock(tmp_path).take().release()


def test_a_lock_whose_file_alone_was_removed_is_taken_anew(tmp_path):
    lock = Lock(tmp_path).take()
    (tmp_path / LOCK).unlink()
    lock.check()
    with pytest.raises(UsageError):
        check_free(tmp_path)
    lock.release()


def test_a_lock_whose_file_was_removed_and_taken_by_another_is_lost(tmp_path):
    lock = Lock(tmp_path).take()
    (tmp_path / LOCK).unlink()
    other = Lock(tmp_path).take()
    with pytest.raises(UsageError, match="is being written by another process"):
        lock.check()
    other.release()


def test_where_there_are_no_locks_a_lock_is_not_certain(tmp_path, monkeypatch):
    def flock(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    assert Lock(tmp_path).take().certain
    monkeypatch.setattr(fcntl, "flock", flock)
    assert not Lock(tmp_path / ".").take().certain

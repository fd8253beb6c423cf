"""Files and directories that are replaced whole: the new one or the one before is always there."""

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from compacter_cli.errors import CompacterError


def write_whole(directory, files):
    """Write a directory of `files`, bytes by name, whole or not at all, in the place of another.

    Raises:
        OSError: the disk is full or cannot be written; what was there stays.
    """
    fresh = directory.with_name(f"{directory.name}.new-{os.getpid()}")
    try:
        shutil.rmtree(fresh, ignore_errors=True)  # of a process of this number, killed while saving
        fresh.mkdir(parents=True)
        for name, data in files.items():
            write_durably(fresh / name, data)
        swap_in(fresh, directory)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def write_durably(path, data):
    """Write bytes to a file and wait until they are on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def swap_in(fresh, directory):
    """Put the directory `fresh` in the place of `directory`, there already or not."""
    # A directory cannot be replaced in one step: the old one is set aside, not deleted, until the
    # new one is in place, and `present` finds it there should the process die in between.
    set_aside = previous(directory)
    if directory.exists():
        shutil.rmtree(set_aside, ignore_errors=True)
        directory.rename(set_aside)
    fresh.rename(directory)
    _sync(directory.parent)
    shutil.rmtree(set_aside, ignore_errors=True)


def present(directory):
    """`directory`, or what was set aside for it by a swap that never finished."""
    directory = Path(directory)
    return (
        directory if directory.is_dir() or not previous(directory).is_dir() else previous(directory)
    )


def previous(directory):
    """Where a swap sets aside what is in the place of `directory`."""
    return directory.with_name(f"{directory.name}.previous")


def sync_tree(directory):
    """Wait until every file below `directory` is on the disk."""
    for folder, _, names in os.walk(directory):
        for name in names:
            _sync(os.path.join(folder, name))
        _sync(folder)


def _sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path, value):
    """Write JSON beside `path` and move it there, so that no reader sees half of it."""
    path = Path(path)
    fresh = path.with_name(f"{path.name}.new-{os.getpid()}")
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    with writing(path):
        try:
            fresh.write_text(text, encoding="utf-8")
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)


@contextmanager
def writing(path):
    """Say of a failure to write `path` what it is, and that what was there stays.

    Raises:
        CompacterError: the disk is full or cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise CompacterError(
            f"cannot write {path}: {error.strerror}",
            "free some space; what was saved before is whole",
        ) from error


def size_text(count):
    """Bytes as people read them."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.2f} {unit}"
    return f"{count} bytes"

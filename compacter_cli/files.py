"""Files and directories that are replaced whole: the new one or the one before is always there."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compacter_cli.errors import CompacterError

_FRESH, _PREVIOUS = ".new-", ".previous"


@contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A place beside `path`, for a file that takes its place once the context ends well.

    What is left there where the context fails is removed, and `path` stays as it was. Both the
    file and the move are on the disk at the end: a loss of power leaves the one before or this.
    """
    fresh = fresh_place(path)
    try:
        yield fresh
        sync(fresh)
        os.replace(fresh, path)
        sync(path.parent)
    finally:
        fresh.unlink(missing_ok=True)


def fresh_place(path: Path) -> Path:
    """Where this process writes what is to take the place of `path`."""
    return path.with_name(f"{path.name}{_FRESH}{os.getpid()}")


def place_of(entry: Path) -> str:
    """The name that an entry of a directory is meant for.

    Another than its own where a process was killed before it had put it there, or where it was
    set aside.
    """
    return entry.name.partition(_FRESH)[0].removesuffix(_PREVIOUS)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole: no reader sees half of it.

    Raises:
        CompacterError: the disk is full or cannot be written; what was there stays.
    """
    with writing(path), beside(path) as fresh:
        fresh.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write JSON as `write_text` does."""
    write_text(Path(path), json_text(value))


def json_text(value: object) -> str:
    """A value as the JSON text of a file."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def append_json(path: Path, value: Mapping[str, Any]) -> None:
    """Add one line of JSON to a file.

    Raises:
        CompacterError: the disk is full or cannot be written.
    """
    with writing(path), open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(value) + "\n")


@contextmanager
def writing(path: Path) -> Iterator[None]:
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


def write_whole(directory: Path, files: Mapping[str, bytes]) -> None:
    """Write a directory of `files`, bytes by name, whole or not at all, in the place of another.

    Raises:
        OSError: the disk is full or cannot be written; what was there stays.
    """
    fresh = fresh_place(directory)
    try:
        shutil.rmtree(fresh, ignore_errors=True)  # of a process of this number, killed while saving
        fresh.mkdir(parents=True)
        for name, data in files.items():
            write_durably(fresh / name, data)
        sync(fresh)
        swap_in(fresh, directory)
    except OSError:
        shutil.rmtree(fresh, ignore_errors=True)
        raise


def write_durably(path: Path, data: bytes) -> None:
    """Write bytes to a file and wait until they are on the disk."""
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def swap_in(fresh: Path, directory: Path) -> None:
    """Put the directory `fresh` in the place of `directory`, there already or not."""
    # A directory cannot be replaced in one step: the old one is set aside, not deleted, until the
    # new one is in place, and `present` finds it there should the process die in between.
    set_aside = previous(directory)
    if directory.exists():
        shutil.rmtree(set_aside, ignore_errors=True)
        directory.rename(set_aside)
    fresh.rename(directory)
    sync(directory.parent)
    shutil.rmtree(set_aside, ignore_errors=True)


def present(directory: Path | str) -> Path:
    """`directory`, or what was set aside for it by a swap that never finished."""
    directory = Path(directory)
    set_aside = previous(directory)
    return set_aside if set_aside.is_dir() and not directory.is_dir() else directory


def previous(directory: Path) -> Path:
    """Where a swap sets aside what is in the place of `directory`."""
    return directory.with_name(f"{directory.name}{_PREVIOUS}")


def make_directory(directory: Path) -> None:
    """Make a directory that may be there already, and those above it, and wait for their names."""
    above = [folder for folder in directory.absolute().parents if not folder.is_dir()]
    directory.mkdir(parents=True, exist_ok=True)
    for folder in (directory.absolute(), *above):
        sync(folder.parent)


def sync_tree(directory: Path) -> None:
    """Wait until every file below `directory` is on the disk."""
    for folder, _, names in os.walk(directory):
        for name in names:
            sync(os.path.join(folder, name))
        sync(folder)


def sync(path: Path | str) -> None:
    """Wait until a file, or the names in a directory, are on the disk.

    A directory that may be written but not read is left to the system.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:
        if os.path.isdir(path):
            return
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def size_text(count: float) -> str:
    """Bytes as people read them."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.2f} {unit}"
    return f"{count} bytes"

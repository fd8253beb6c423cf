"""Files and directories that are replaced whole: the new one or the one before is always there."""

import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from compacter_cli.errors import CompacterError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk, a quota, and a limit on a file's size
_FRESH, _PREVIOUS = ".new-", ".previous"

# Of JSON that is read. The largest that this program writes is the manifest of an adapter that
# trains all of a T5: 100 bytes a tensor, 60 kB for T5-large; the deepest has six levels.
JSON_BYTES, JSON_DEPTH = 8_000_000, 32
_INTEGER_DIGITS = 31  # as transformers' 1e30 has, a tokenizer's longest text where none is too long


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


@contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """An empty folder beside `directory`, which takes its name once the context ends well.

    `directory` is not there by then, or is empty: nothing is ever replaced. What is written, and
    the folders made above it, are removed where the context fails, and on the disk where it ends
    well.

    Raises:
        OSError: it cannot be written, or something is there.
    """
    fresh, above = fresh_place(directory), _missing_above(directory)
    try:
        shutil.rmtree(fresh, ignore_errors=True)  # of a process of this number, killed meanwhile
        fresh.mkdir(parents=True)
        yield fresh
        sync_tree(fresh)
        fresh.rename(directory)
        sync(directory.parent)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        for folder in above:
            with suppress(OSError):  # another process has put something there
                folder.rmdir()
        raise


def fresh_place(path: Path) -> Path:
    """Where this process writes what is to take the place of `path`."""
    return path.with_name(f"{path.name}{_FRESH}{os.getpid()}")


def place_of(entry: Path) -> str:
    """The name that an entry of a directory is meant for.

    Another than its own where a process was killed before it had put it there, or where it was
    set aside.
    """
    return entry.name.partition(_FRESH)[0].removesuffix(_PREVIOUS)


def sweep(directory: Path, ours: Callable[[str], object]) -> None:
    """Remove what killed processes left half written, and put back what they had set aside.

    No other process may be writing there. `ours` tells the names of what is written in it.
    """
    for entry in list(directory.iterdir()):
        place = directory / place_of(entry)
        if place == entry or not ours(place.name):
            continue
        if entry == previous(place) and not place.exists():
            entry.rename(place)
        else:
            remove_any(entry)


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


def read_json(path: Path, limit: int = JSON_BYTES, within: Path | None = None) -> Any:
    """The value of a JSON file, read as `read_file` reads and `parse_json` parses."""
    return parse_json(read_file(path, limit, within))


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text that may be anybody's.

    Raises:
        ValueError: it is no JSON, or holds what only a hostile or damaged file holds: nesting
            without end, an integer beyond 64 bits, a NUL, half of a surrogate pair.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        value = json.loads(text, parse_int=_integer)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {JSON_DEPTH} levels") from None
    _check_json(value)
    return value


def _integer(digits: str) -> int:
    if len(digits) > _INTEGER_DIGITS:
        raise ValueError(f"it holds an integer of {len(digits):,} digits")
    return int(digits)


def _check_json(value: object) -> None:
    """Refuse what breaks later, where it is compared, printed or written: see `parse_json`."""
    level = [value]
    for _ in range(JSON_DEPTH + 1):
        for text in level:
            if isinstance(text, str):
                _check_text(text)
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {JSON_DEPTH} levels")


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return (*value.keys(), *value.values())
    return value if isinstance(value, list) else ()


def _check_text(text: str) -> None:
    if "\0" in text:
        raise ValueError("a text in it holds a NUL")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError("a text in it holds half of a surrogate pair, which is no Unicode")


def read_file(path: Path, limit: int, within: Path | None = None) -> bytes:
    """The bytes of a file of at most `limit` bytes, that lies in the directory `within`.

    A link is followed where it stays in that directory, the file's own where left out: a directory
    that somebody else packed is not to decide which of this machine's files are read. What is no
    file is not opened for reading, for a pipe would wait for a writer that never comes.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is a link to elsewhere, no file, or larger.
    """
    check_contained(path, within)
    with open(path, "rb", opener=_without_waiting) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is no file")
        if found.st_size > limit:
            raise ValueError(
                f"it has {size_text(found.st_size)}; more than {size_text(limit)} are not read"
            )
        return file.read(found.st_size)


def _without_waiting(path: str, flags: int) -> int:
    # Told from a pipe once it is open, not before, for it may have become one in between.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def check_contained(path: Path, within: Path | None = None) -> None:
    """Refuse a link that leads out of `within`, the file's own directory where left out.

    Raises:
        ValueError: it does.
    """
    root, target = (Path(os.path.realpath(place)) for place in (within or path.parent, path))
    if not target.is_relative_to(root):
        raise ValueError(f"it is a link to {target}, outside of its directory")


def file_within(path: Path, within: Path) -> Path:
    """`path`, a file that is there and lies in `within`, for whatever opens it.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it is no file, or a link that leads out of `within`.
    """
    check_contained(path, within)
    if not path.exists():
        raise FileNotFoundError(f"{path.name} is missing")
    if not path.is_file():
        raise ValueError(f"{path.name} is no file")
    return path


def cache_directory() -> Path:
    """Where what can be made again is kept: `COMPACTER_CACHE` or ~/.cache/compacter."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "compacter"
    return Path(os.environ.get("COMPACTER_CACHE") or default).expanduser()


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
            f"cannot write {path}: {os.strerror(error.errno) if error.errno else error}",
            f"{way_out(error)}; what was saved before is whole",
        ) from error


def way_out(error: OSError) -> str:
    """What to do where something cannot be written."""
    refused = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
    return "give yourself the right to write there" if refused else "free some space"


def write_whole(directory: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write a directory of `files`, a name and bytes each, whole or not at all.

    It takes the place of one that is there. The files are asked for one at a time, in order.

    Raises:
        OSError: the disk is full or cannot be written; what was there stays.
    """
    fresh = fresh_place(directory)
    try:
        shutil.rmtree(fresh, ignore_errors=True)  # of a process of this number, killed while saving
        fresh.mkdir(parents=True)
        for name, data in files:
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


def remove_any(path: Path) -> None:
    """Remove a file, a link, or a directory with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def present(directory: Path | str) -> Path:
    """`directory`, or what was set aside for it by a swap that never finished."""
    directory = Path(directory)
    set_aside = previous(directory)
    # os.path's, which is false, not an error, of a name that is too long to be one.
    return set_aside if os.path.isdir(set_aside) and not os.path.isdir(directory) else directory


def previous(directory: Path) -> Path:
    """Where a swap sets aside what is in the place of `directory`."""
    return directory.with_name(f"{directory.name}{_PREVIOUS}")


def space_words(error: OSError, directory: Path, needed: int) -> str:
    """What there was too little of, in words that follow a message; "" where it was not space."""
    if error.errno not in FULL:
        return ""
    return f"; {size_text(needed)} were needed, {size_text(free_bytes(directory))} are free"


def free_bytes(directory: Path) -> int:
    """Bytes that may still be written where `directory` is, or is to be."""
    there = next(d for d in (directory.absolute(), *directory.absolute().parents) if d.exists())
    return shutil.disk_usage(there).free


def check_space(directory: Path, size: int) -> None:
    """Make sure that a file of `size` bytes can be written in a directory, made if need be.

    For writers that a full disk crashes, such as HDF5.

    Raises:
        OSError: it cannot.
    """
    directory.mkdir(parents=True, exist_ok=True)
    allocate = getattr(os, "posix_fallocate", None)  # not everywhere
    if allocate is None:
        return
    with tempfile.NamedTemporaryFile(dir=directory) as file:
        allocate(file.fileno(), 0, size)


def make_directory(directory: Path) -> None:
    """Make a directory that may be there already, and those above it, and wait for their names."""
    above = _missing_above(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for folder in (directory.absolute(), *above):
        sync(folder.parent)


def _missing_above(path: Path) -> list[Path]:
    """The folders above a path that are not there, the nearest first."""
    return [folder for folder in path.absolute().parents if not folder.is_dir()]


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

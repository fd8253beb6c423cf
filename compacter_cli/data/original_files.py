"""Original GLUE and SuperGLUE files: found in a folder or in their zip, hashed, and read."""

import os
import struct
import zipfile
import zlib
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Literal

from compacter_cli.data.original_lines import Listed, listed_keys, split_rows
from compacter_cli.data.rows import Origin, Rows, Splits
from compacter_cli.data.text_files import read_bytes, sha256_of
from compacter_cli.errors import CompacterError, MissingResourceError, excerpt, user_path
from compacter_cli.tasks.published import PublishedTask, Table

LARGEST_MEMBER = 1 << 30  # bytes of a task's files, each and together; MNLI's are a tenth of it
_PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # of others no bound can be put on a read


def existing_files(task: PublishedTask, folder: Path) -> dict[str, Path]:
    """Path of every original file of a task below `folder`, by name.

    Raises:
        MissingResourceError: one of them is not there.
    """
    original = task.original
    files = {name: folder / original.place / name for name in original.needed}
    # os.path's: false, where Path's own fails, of a name too long to be one.
    missing = [str(path) for path in files.values() if not os.path.isfile(path)]
    if missing:
        above = folder.name == original.benchmark and os.path.isdir(folder / original.folder)
        raise MissingResourceError(
            f"original files: {', '.join(missing)} not found",
            f"give the folder above, {folder.parent}"
            if above
            else f"the folder must hold {original.place}/{' and '.join(files)}",
        )
    return files


def existing_archive(task: PublishedTask, archive: str | Path) -> Path:
    """The path of `data.archive`.

    Raises:
        MissingResourceError: there is no such file, or the task was never zipped.
    """
    original = task.original
    if original.archive is None:
        raise MissingResourceError(
            f"{task.name} was published as plain files, not as a zip",
            f"give a folder (data.folder) holding {original.place}/"
            + " and ".join(original.needed),
        )
    path = user_path(archive)
    if not os.path.isfile(path):
        raise MissingResourceError(
            f"original zip: there is no file {path}", f"give {original.archive} as published"
        )
    return path


def rows_in_folder(task: PublishedTask, folder: Path, files: dict[str, Path]) -> Rows:
    """The rows of original files below `folder`, which `existing_files` found there.

    Raises:
        CompacterError: a file is not what was published; file and line are named.
    """
    data = {name: read_bytes(path, LARGEST_MEMBER) for name, path in files.items()}
    hashes = {name: sha256(content).hexdigest() for name, content in data.items()}
    return Rows(_splits(task, data, folder), _origin(task, "folder", folder, hashes))


def rows_in_archive(task: PublishedTask, path: Path) -> Rows:
    """The rows of the task's original zip, which is unpacked nowhere.

    Raises:
        CompacterError: it is not what was published; the file in it and the line are named.
    """
    hashes = {str(task.original.archive): sha256_of(path)}
    files = _members(task, path, hashes)
    return Rows(_splits(task, files, path), _origin(task, "archive", path, hashes))


def _origin(
    task: PublishedTask, way: Literal["folder", "archive"], path: Path, hashes: dict[str, str]
) -> Origin:
    origin: Origin = {"way": way, "path": str(path), "sha256": hashes}
    known = {name: value for name, value in task.original.sha256.items() if name in hashes}
    if known:  # of the files in a zip no hash was published
        origin["published"] = known.items() <= hashes.items()
    return origin


def _splits(task: PublishedTask, files: dict[str, bytes], shown: Path) -> Splits:
    original = task.original

    def where(name: str) -> str:
        return f"{shown}: {original.folder}/{name}"

    listed: Listed = frozenset()
    if original.validating and isinstance(original.lines, Table):
        listing = files[original.validating], where(original.validating)
        listed = listed_keys(original.lines.keys, *listing)
    return {
        split: split_rows(task, split, files[name], where(name), listed)
        for split, name in original.files.items()
    }


def _members(task: PublishedTask, path: Path, hashes: dict[str, str]) -> dict[str, bytes]:
    """The bytes of the task's files in its zip, by name; nothing else is looked at."""
    wanted = {name: f"{task.original.folder}/{name}" for name in task.original.needed}
    try:
        with zipfile.ZipFile(path) as archive:
            held = {info.filename: info for info in archive.infolist()}
            if missing := [member for member in wanted.values() if member not in held]:
                raise _wrong_zip(task, path, missing, held, hashes)
            _check_sizes(path, map(held.__getitem__, wanted.values()))
            return {name: _unpacked(archive, held[member]) for name, member in wanted.items()}
    # What else zipfile raises of damaged bytes: a struct that is short, a name that is no UTF-8, a
    # place before the file's beginning.
    except (
        zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, struct.error, ValueError, OSError
    ) as error:  # fmt: skip
        kind = "damaged or locked zip" if zipfile.is_zipfile(path) else "not a zip file"
        raise CompacterError(
            f"{path}: {kind} ({excerpt(str(error), 200)})",
            "download it again; a saved web page is no zip",
        ) from error


def _check_sizes(archive: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    left = LARGEST_MEMBER
    for member in members:
        left -= member.file_size
        if left < 0:
            raise CompacterError(
                f"{archive}: {member.filename} unpacks to {member.file_size:,} bytes, more than "
                "any original",
                "download it again",
            )


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a file in a zip: no more are unpacked than the zip says that there are."""
    if member.compress_type not in _PACKED:
        raise zipfile.BadZipFile(f"{member.filename} is packed in a way that no original is")
    with archive.open(member) as file:
        # Not read() without a size, which unpacks gigabytes before it looks at what was declared.
        return file.read(member.file_size)


def _wrong_zip(
    task: PublishedTask,
    path: Path,
    missing: Iterable[str],
    held: Iterable[str],
    hashes: dict[str, str],
) -> CompacterError:
    original = task.original
    (name,) = hashes
    return CompacterError(
        f"{path}: expected {', '.join(missing)} in it; it holds "
        f"{excerpt(', '.join(sorted(held)[:4]), 200) or 'nothing'} (its sha256 is "
        f"{hashes[name]}, the published one {original.sha256[name]})",
        f"give the {name} of {original.benchmark}, with its {original.folder}/ at the top",
    )

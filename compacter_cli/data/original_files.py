"""Original GLUE and SuperGLUE files: found in a folder or in their zip, hashed, and read."""

import zipfile
import zlib
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Literal

from compacter_cli.data.original_lines import Listed, listed_keys, split_rows
from compacter_cli.data.rows import Origin, Rows, Splits
from compacter_cli.data.text_files import read_bytes, sha256_of
from compacter_cli.errors import CompacterError, MissingResourceError, user_path
from compacter_cli.tasks.published import PublishedTask, Table

LARGEST_MEMBER = 1 << 30  # bytes of one unpacked file; MNLI's, the largest, is a tenth of it


def existing_files(task: PublishedTask, folder: Path) -> dict[str, Path]:
    """Path of every original file of a task below `folder`, by name.

    Raises:
        MissingResourceError: one of them is not there.
    """
    original = task.original
    files = {name: folder / original.place / name for name in original.needed}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        above = folder.name == original.benchmark and (folder / original.folder).is_dir()
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
    if not path.is_file():
        raise MissingResourceError(
            f"original zip: there is no file {path}", f"give {original.archive} as published"
        )
    return path


def rows_in_folder(task: PublishedTask, folder: Path, files: dict[str, Path]) -> Rows:
    """The rows of original files below `folder`, which `existing_files` found there.

    Raises:
        CompacterError: a file is not what was published; file and line are named.
    """
    data = {name: read_bytes(path) for name, path in files.items()}
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
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if missing := [member for member in wanted.values() if member not in sizes]:
                raise _wrong_zip(task, path, missing, sizes, hashes)
            for member in wanted.values():
                if sizes[member] > LARGEST_MEMBER:
                    raise CompacterError(f"{path}: {member} unpacks to {sizes[member]:,} bytes")
            return {name: archive.read(member) for name, member in wanted.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        kind = "damaged or locked zip" if zipfile.is_zipfile(path) else "not a zip file"
        raise CompacterError(
            f"{path}: {kind} ({error})", "download it again; a saved web page is no zip"
        ) from error


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
        f"{', '.join(sorted(held)[:4]) or 'nothing'} (its sha256 is {hashes[name]}, the "
        f"published one {original.sha256[name]})",
        f"give the {name} of {original.benchmark}, with its {original.folder}/ at the top",
    )

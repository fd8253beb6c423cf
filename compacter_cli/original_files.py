"""Original GLUE and SuperGLUE files, in a folder or in their zip, read by the TFDS parsers."""

import hashlib
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

from compacter_cli.errors import CompacterError, MissingResourceError, user_path
from compacter_cli.tfds_access import plain_row, tfds_builder

LARGEST_MEMBER = 1 << 30  # bytes of one unpacked file; QQP's, the largest of GLUE, is 0.05 of it


def original_files(task, folder):
    """Path of every split's original file below `folder`.

    Raises:
        MissingResourceError: one of them is not there.
    """
    place = folder / task.original.benchmark / task.original.folder
    files = {split: place / name for split, name in task.original.files.items()}
    missing = [str(path) for path in files.values() if not path.is_file()]
    if missing:
        raise MissingResourceError(
            f"data.folder: {', '.join(missing)} not found",
            f"data.folder must hold {task.original.benchmark}/{task.original.folder}/"
            + " and ".join(task.original.files.values()),
        )
    return files


def rows_from_folder(task, folder):
    """`(rows by split, origin)` of the original files in `folder`."""
    files = original_files(task, folder)
    origin = {"way": "folder", "path": str(folder), "sha256": _hashes(files.values())}
    return _parse(task, folder / task.original.benchmark), origin


def existing_archive(archive):
    """The path of `data.archive`.

    Raises:
        MissingResourceError: there is no such file.
    """
    path = user_path(archive)
    if not path.is_file():
        raise MissingResourceError(f"data.archive: there is no file {path}")
    return path


def rows_from_archive(task, path):
    """`(rows by split, origin)` of the original zip at `path`; unpublished bytes are noted."""
    found = _sha256(path)
    origin = {
        "way": "archive",
        "path": str(path),
        "sha256": {path.name: found},
        "published": found == _published_sha256(task),
    }
    with TemporaryDirectory() as folder:
        extract(task, path, Path(folder))
        return _parse(task, Path(folder)), origin


def extract(task, path, folder):
    """Unpack the task's files from its original zip, and nothing else."""
    wanted = [f"{task.original.folder}/{name}" for name in task.original.files.values()]
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            missing = [name for name in wanted if name not in sizes]
            if missing:
                held = ", ".join(sorted(sizes)[:4]) or "nothing"
                raise CompacterError(
                    f"{path}: expected {', '.join(missing)} in it; it holds {held}",
                    f"give {task.original.benchmark.upper()}'s {task.original.archive} "
                    "(GLUE and SuperGLUE both have an RTE.zip)",
                )
            for name in wanted:
                if sizes[name] > LARGEST_MEMBER:
                    raise CompacterError(f"{path}: {name} unpacks to {sizes[name]:,} bytes")
                archive.extract(name, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        kind = "damaged or locked zip" if zipfile.is_zipfile(path) else "not a zip file"
        raise CompacterError(
            f"{path}: {kind} ({error})", "download it again; a saved web page is no zip"
        ) from error


class LocalFiles:
    """Stands in for TFDS's download manager: what would be downloaded is in `root` already."""

    def __init__(self, root, downloaded_size=0):
        self._root = str(root)
        self.downloaded_size = downloaded_size  # recorded in the prepared directory

    def download_and_extract(self, _url):
        return self._root


def _parse(task, root):
    """Rows by split, by the TFDS builder's own parser; `root` holds the task's folder."""
    with tfds_builder(task) as builder:
        generators = {g.name: g.gen_kwargs for g in builder._split_generators(LocalFiles(root))}
        return {
            split: _parse_split(builder, generators[split], root / task.original.folder / name)
            for split, name in task.original.files.items()
        }


def _parse_split(builder, arguments, path):
    rows = []
    try:
        for _, row in builder._generate_examples(**arguments):
            rows.append(plain_row(builder.info.features.encode_example(row)))
    except UnicodeDecodeError as error:
        raise CompacterError(
            f"{path}, line {_first_undecodable_line(path)}: not UTF-8 ({error.reason})",
            "convert the file to UTF-8, or take the original again",
        ) from error
    except KeyError as error:
        raise CompacterError(f"{path}: the column {error} is missing from its header") from error
    except (ValueError, TypeError) as error:
        line = (rows[-1]["idx"] if rows else -1) + 3  # the header, and lines count from 1
        expected = ", ".join(builder.info.features["label"].names)
        raise CompacterError(
            f"{path}, near line {line}: {error}", f"expected labels: {expected}"
        ) from error
    return rows


def _first_undecodable_line(path):
    for number, line in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return number
    return "?"


def _published_sha256(task):
    with tfds_builder(task) as builder:
        known = builder.url_infos.get(builder.builder_config.data_url)
        return known.checksum if known else None


def _hashes(paths):
    return {path.name: _sha256(path) for path in paths}


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

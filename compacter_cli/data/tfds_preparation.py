"""A published task prepared as a TFDS directory, from a download, a zip, a folder or a copy.

Nothing is ever half prepared: rows are parsed and checked first, written beside their place, and
moved there whole, while a lock keeps other processes waiting.
"""

import contextlib
import shutil
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from compacter_cli.data.original_files import (
    LocalFiles,
    as_the_parser_expects,
    extract,
    parse,
)
from compacter_cli.data.text_files import sha256_of
from compacter_cli.data.tfds_access import tfds_builder
from compacter_cli.data.tfds_directory import RECEIPT, prepared_directory, rows_in
from compacter_cli.errors import CompacterError
from compacter_cli.files import write_json


def prepare(task, data_dir, opened):
    """Prepare a task below `data_dir` from original files, if that is not done already.

    Args:
        task: a `PublishedTask`.
        data_dir: TFDS data directory.
        opened: function that gives a context of `(root, origin)`, as in `original_files`.

    Returns:
        `(directory, whether it was made now)`.

    Raises:
        CompacterError: the files are not those that were published, or cannot be written.
    """

    def make(staging):
        with opened() as (root, origin):
            splits = parse(task, root, origin["path"])
            directory = _write(task, root, staging)
        receipt = {
            **origin,
            "rows": {split: len(rows) for split, rows in splits.items()},
            "shards": {path.name: sha256_of(path) for path in sorted(directory.glob("*-*.*"))},
        }
        write_json(directory / RECEIPT, receipt)
        return directory

    return _made_once(task, data_dir, make)


def copy_prepared(task, data_dir, source):
    """Copy a prepared directory (TFRECORD too) below `data_dir` after reading all of it.

    Returns and raises as `prepare`.
    """

    def make(staging):
        rows_in(task, source)  # raises where it is damaged or not what was published
        return Path(shutil.copytree(source, staging / _place_of(task)))

    return _made_once(task, data_dir, make)


def download(task, data_dir):
    """Prepare a task by TFDS's download, checked against its registered hashes."""
    return prepare(task, data_dir, partial(_downloaded, task, data_dir))


def _made_once(task, data_dir, make):
    """Let `make` build a directory in a staging folder and move it to its place, under a lock."""
    from filelock import FileLock

    name = f".compacter-{task.original.benchmark}-{task.original.folder}"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with FileLock(data_dir / f"{name}.lock"):
            if there := prepared_directory(task, data_dir):
                return there, False  # by another process, while this one waited
            staging = data_dir / f"{name}.staging"
            shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
            try:
                return _moved(make(staging), data_dir / _place_of(task)), True
            finally:
                shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise CompacterError(
            f"cannot prepare {task.name} in {data_dir}: {error.strerror or error}",
            "choose another directory: --data-dir, or data.data_dir in a recipe",
        ) from error


def _place_of(task):
    """Where TFDS looks for a task below its data directory."""
    return Path(*task.original.tfds.replace(":", "/").split("/"))


def _moved(directory, place):
    place.parent.mkdir(parents=True, exist_ok=True)
    return directory.rename(place)


def _write(task, root, staging):
    """Let TFDS write its directory below `staging`; a split whose file is not here is left out."""
    with (
        tfds_builder(task, staging) as builder,
        as_the_parser_expects(task, root) as expected,
    ):
        size = sum(path.stat().st_size for path in (root / task.original.folder).iterdir())
        manager = LocalFiles(expected, task, builder, size)
        builder._make_download_manager = lambda **_: manager
        every_split = builder._split_generators
        builder._split_generators = lambda manager: [
            generator for generator in every_split(manager) if _is_there(generator)
        ]
        try:
            builder.download_and_prepare()
        except OSError:
            raise
        except Exception as error:  # TFDS raises many kinds
            raise CompacterError(f"cannot prepare {task.name}: {error}") from error
        return Path(builder.data_dir)


def _is_there(generator):
    """Whether the file of a TFDS split generator exists."""
    given = generator.gen_kwargs
    if files := given.get("mrpc_files"):  # its validation rows are in the training file
        return Path(files["test" if given["split"] == "test" else "train"]).is_file()
    return Path(given["data_file"]).is_file()


@contextlib.contextmanager
def _downloaded(task, data_dir):
    """`(root, origin)` of a download; kept below `data_dir`, a folder a benchmark."""
    with TemporaryDirectory() as folder, tfds_builder(task) as builder:
        fetched = _fetch(task, builder, data_dir / "downloads" / task.original.benchmark)
        if task.original.archive:
            extract(task, fetched[task.original.archive], Path(folder))
        else:
            place = Path(folder, task.original.folder)
            place.mkdir()
            for name, path in fetched.items():
                shutil.copyfile(path, place / name)
        yield Path(folder), {"way": "download", "path": "the download", "published": True}


def _fetch(task, builder, downloads):
    """Downloaded files by their published names; what was downloaded before is not fetched again.

    A file put by hand into `<downloads>/manual` is taken as well, if its hash is the published one.
    """
    from tensorflow_datasets import download as tfds_download

    manager = builder._make_download_manager(
        download_dir=downloads,
        download_config=tfds_download.DownloadConfig(manual_dir=downloads / "manual"),
    )
    try:
        return {name: Path(manager.download(url)) for name, url in _addresses(task, builder)}
    except Exception as error:  # requests' and TFDS' own kinds, checksums among them
        remedy = "data.archive with the zip" if task.original.archive else "data.folder with files"
        raise CompacterError(
            f"the download of {task.name} failed: {str(error).partition(chr(10))[0]}",
            f"run again, or use {remedy} downloaded by hand",
        ) from error


def _addresses(task, builder):
    """(published name, address) of every file that TFDS downloads for a task."""
    if task.original.archive:
        return [(task.original.archive, builder.builder_config.data_url)]
    wanted = (*task.original.needed, *task.original.unlabelled)
    return [
        (info.filename, url) for url, info in builder.url_infos.items() if info.filename in wanted
    ]

"""A task in TFDS's own prepared directories: found, read, and downloaded where it is not there."""

import os
import struct
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from compacter_cli.errors import CompacterError, user_path
from compacter_cli.original_files import LocalFiles, extract
from compacter_cli.tfds_access import plain_row, quiet_tfds, tfds_builder

_DESCRIPTIONS = ("dataset_info.json", "features.json")  # what TFDS writes beside the shards


def tfds_root(data_dir=None):
    """The TFDS data directory: `data_dir`, or TFDS' own default."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return user_path(data_dir or default)


def prepared_directory(task, data_dir=None):
    """The prepared directory of the task's version, or `None`; `data_dir` may name it itself.

    Raises:
        CompacterError: it is there, but half of it is missing.
    """
    name, _, version = task.original.tfds.partition(":")
    root = tfds_root(data_dir)
    for candidate in (root / name / version, root):
        missing = [file for file in _DESCRIPTIONS if not (candidate / file).is_file()]
        if not missing:
            return candidate
        if any(candidate.glob(f"{name.partition('/')[0]}-*")):  # shards alone
            raise CompacterError(
                f"{candidate}: the prepared data lacks {' and '.join(missing)}",
                "delete that directory to prepare it again, or copy it whole",
            )
    return None


def rows_from_tfds(task, data_dir=None):
    """`(rows by split, origin)` of the prepared directory, downloaded first if it is not there."""
    directory = prepared_directory(task, data_dir) or _download(task, tfds_root(data_dir))
    origin = {"way": "tfds", "path": str(directory), "name": task.original.tfds}
    return _read_prepared(task, directory), origin


def _read_prepared(task, directory):
    with quiet_tfds() as tfds:
        try:
            builder = tfds.builder_from_directory(str(directory))
            _check_version(task, builder, directory)
            return {split: _read_split(builder, split) for split in task.rows}
        except CompacterError:
            raise
        except Exception as error:  # array_record and TFDS raise many kinds for a damaged file
            raise CompacterError(
                f"{directory}: cannot read the prepared data ({type(error).__name__}: {error})",
                "prepare it again, or use data.archive or data.folder",
            ) from error


def _check_version(task, builder, directory):
    found = f"{builder.info.full_name}"
    wanted = task.original.tfds.replace(":", "/")
    if found != wanted:
        raise CompacterError(f"{directory}: expected {wanted}, found {found}")


def _read_split(builder, split):
    if builder.info.file_format.value == "tfrecord":
        features = builder.info.features
        paths = builder.info.splits[split].filepaths
        examples = (
            features.deserialize_example_np(record) for path in paths for record in _records(path)
        )
    else:
        examples = builder.as_data_source(split)
    rows = [plain_row(example) for example in examples]
    # TFDS stores a shuffled order; idx is the row's number in the original file.
    return sorted(rows, key=lambda row: row["idx"])


def _records(path):
    """The records of a TFRECORD file: length, its checksum, data, its checksum.

    Raises:
        ValueError: a checksum is wrong.
        EOFError: the file ends in the middle of a record.
    """
    with open(path, "rb") as file:
        while header := file.read(8):
            _check_masked_crc(path, header, file.read(4))
            data = file.read(struct.unpack("<Q", header)[0])
            _check_masked_crc(path, data, file.read(4))
            yield data


def _check_masked_crc(path, data, stored):
    import google_crc32c

    if len(stored) < 4:
        raise EOFError(f"{path} ends in the middle of a record")
    crc = google_crc32c.value(data)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    if stored != struct.pack("<I", masked):
        raise ValueError(f"{path} is damaged: a record's checksum does not fit")


def _download(task, data_dir):
    """Download by TFDS, checked against its registered hash, and prepare as ArrayRecord."""
    from filelock import FileLock

    data_dir.mkdir(parents=True, exist_ok=True)
    lock = data_dir / f".compacter-{task.original.benchmark}-{task.original.folder}.lock"
    with (
        FileLock(lock),
        tfds_builder(task, data_dir) as builder,
        TemporaryDirectory() as folder,
    ):
        if prepared := prepared_directory(task, data_dir):
            return prepared  # by another process, while this one waited
        downloads = data_dir / "downloads" / task.original.benchmark
        archive = _fetch(builder, downloads)
        extract(task, Path(archive), Path(folder))
        _add_missing_test_file(task, Path(folder), Path(archive))
        manager = LocalFiles(folder, Path(archive).stat().st_size)
        builder._make_download_manager = lambda **_: manager
        try:
            builder.download_and_prepare()
        except Exception as error:  # TFDS raises many kinds
            raise CompacterError(f"cannot prepare {task.name} in {data_dir}: {error}") from error
        return Path(builder.data_dir)


def _fetch(builder, downloads):
    from tensorflow_datasets import download

    manager = builder._make_download_manager(
        download_dir=downloads, download_config=download.DownloadConfig()
    )
    try:
        return manager.download(builder.builder_config.data_url)
    except Exception as error:  # requests' and TFDS' own kinds, checksums among them
        raise CompacterError(
            f"the download of {builder.builder_config.data_url} failed: "
            f"{str(error).partition(chr(10))[0]}",
            "run again, or use data.archive with the zip downloaded by hand",
        ) from error


def _add_missing_test_file(task, folder, archive):
    """TFDS prepares the unlabelled test split too; unpack its file beside the others."""
    suffix = Path(next(iter(task.original.files.values()))).suffix
    with zipfile.ZipFile(archive) as zipped:
        zipped.extract(f"{task.original.folder}/test{suffix}", folder)

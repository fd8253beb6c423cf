"""A task in TFDS's own prepared directories: found, looked over, and read."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.data.rows import Rows, count_problem, problem_of
from compacter_cli.data.text_files import sha256_of
from compacter_cli.data.tfds_access import plain_row, quiet_tfds
from compacter_cli.errors import CompacterError, user_path

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

    from compacter_cli.tasks.base import Row
    from compacter_cli.tasks.published import PublishedTask

INFO = "dataset_info.json"  # what TFDS says of a prepared directory, its counts among it
RECEIPT = "compacter.json"  # what a directory that compacter prepared was made from
_DESCRIPTIONS = (INFO, "features.json")  # what TFDS writes beside the shards


class Receipt(TypedDict, total=False):
    """What a prepared directory was made from; with earlier versions also from original files.

    `rows` counts every split that is read, `shards` are their hashes by file name.
    """

    way: Literal["download", "copy", "folder", "archive"]
    path: str
    sha256: dict[str, str]
    published: bool
    rows: dict[str, int]
    shards: dict[str, str]


def tfds_root(data_dir: str | Path | None = None) -> Path:
    """The TFDS data directory: `data_dir`, or TFDS' own default."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    return user_path(data_dir or default)


def place_of(task: PublishedTask, root: Path) -> Path:
    """Where TFDS keeps a task below a data directory."""
    return root.joinpath(*task.original.tfds.replace(":", "/").split("/"))


def prepared_directory(task: PublishedTask, data_dir: str | Path | None = None) -> Path | None:
    """The prepared directory of the task's version, or `None`; `data_dir` may name it itself.

    Raises:
        CompacterError: it is there, but half of it is missing.
    """
    root = tfds_root(data_dir)
    for candidate in (place_of(task, root), root):
        if not os.path.isdir(candidate):  # nor of a name too long to be one, where Path's own fails
            continue
        missing = [file for file in _DESCRIPTIONS if not (candidate / file).is_file()]
        if not missing:
            return candidate
        if any(candidate.glob(f"{task.original.benchmark}-*")):  # shards alone
            raise CompacterError(
                f"{candidate}: the prepared data lacks {' and '.join(missing)}",
                "delete that directory to prepare it again, or copy it whole",
            )
    return None


def counts_in(directory: Path) -> dict[str, int]:
    """Rows of each split of a prepared directory by its own description; no framework needed.

    Raises:
        CompacterError: the description cannot be read.
    """
    path = directory / INFO
    try:
        splits = json.loads(path.read_text(encoding="utf-8")).get("splits", [])
        return {
            split["name"]: sum(int(length) for length in split.get("shardLengths", ()))
            for split in splits
        }
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CompacterError(
            f"{path} is damaged: {error}", f"delete {directory} to prepare it again"
        ) from error


def check_prepared(task: PublishedTask, directory: Path) -> dict[str, int]:
    """Look a prepared directory over without a framework: its counts, its shards, their hashes.

    Hashes are known where compacter prepared it; reading checks the shards of any other.

    Returns:
        Rows of each split, as `counts_in`.

    Raises:
        CompacterError: it is not whole.
    """
    counts, remedy = counts_in(directory), f"delete {directory} and prepare it again"
    for split in task.rows:
        if problem := count_problem(task, split, counts.get(split, 0)):
            raise CompacterError(f"{directory}, {split}: {problem}", remedy)
        if not any(directory.glob(f"*-{split}.*")):
            raise CompacterError(f"{directory}: the shards of {split} are not there", remedy)
    for name, digest in receipt_of(directory).get("shards", {}).items():
        if not (directory / name).is_file() or sha256_of(directory / name) != digest:
            raise CompacterError(f"{directory}: {name} is damaged or missing", remedy)
    return counts


def receipt_of(directory: Path) -> Receipt:
    """What a prepared directory was made from; empty where another program prepared it."""
    try:
        found = json.loads((directory / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return Receipt(**found) if isinstance(found, dict) else {}


def rows_in(task: PublishedTask, directory: Path) -> Rows:
    """The rows of a prepared directory.

    Raises:
        CompacterError: it is damaged, of another version, or not what was published.
    """
    with quiet_tfds() as library:
        try:
            builder = library.builder_from_directory(str(directory))
            _check_version(task, builder, directory)
            splits = {split: _read_split(task, builder, split) for split in task.rows}
        except CompacterError:
            raise
        except Exception as error:  # array_record and TFDS raise many kinds for a damaged file
            raise CompacterError(
                f"{directory}: cannot read the prepared data ({type(error).__name__}: {error})",
                "delete that directory and prepare it again, or use data.archive or data.folder",
            ) from error
    for split, rows in splits.items():
        if problem := problem_of(task, split, rows):
            raise CompacterError(
                f"{directory}, {split}: {problem}", "delete that directory and prepare it again"
            )
    return Rows(splits, {"way": "tfds", "path": str(directory), "name": task.original.tfds})


def _check_version(task: PublishedTask, builder: tfds.core.DatasetBuilder, directory: Path) -> None:
    found = builder.info.full_name
    wanted = task.original.tfds.replace(":", "/")
    if found != wanted:
        raise CompacterError(
            f"{directory}: expected {wanted}, found {found}",
            "give the directory of that version, or prepare it: compacter data prepare "
            f"--task {task.name}",
        )


def _read_split(task: PublishedTask, builder: tfds.core.DatasetBuilder, split: str) -> list[Row]:
    rows = [plain_row(example) for example in _examples(builder, split)]
    # TFDS stores a shuffled order; idx is the row's number in the original file.
    return sorted(rows, key=task.number)


def _examples(builder: tfds.core.DatasetBuilder, split: str) -> Iterator[Any]:
    """A split's examples as TFDS gives them, in the order in which it stores them."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    if builder.info.file_format is tfds.core.FileFormat.TFRECORD:
        assert isinstance(features, tfds.features.FeaturesDict)
        for path in builder.info.splits[split].filepaths:
            yield from map(features.deserialize_example_np, _records(Path(path)))
    else:
        # TFDS's decorator loses the parameters of what it wraps.
        yield from builder.as_data_source(split)  # pyright: ignore[reportCallIssue]


def _records(path: Path) -> Iterator[bytes]:
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


def _check_masked_crc(path: Path, data: bytes, stored: bytes) -> None:
    import google_crc32c

    if len(stored) < 4:
        raise EOFError(f"{path} ends in the middle of a record")
    crc = google_crc32c.value(data)
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    if stored != struct.pack("<I", masked):
        raise ValueError(f"{path} is damaged: a record's checksum does not fit")

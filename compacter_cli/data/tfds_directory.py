"""A task in TFDS's own prepared directories: found, looked over, and read."""

import json
import os
import struct

from compacter_cli.data.row_checks import count_problem, problem_of
from compacter_cli.data.text_files import sha256_of
from compacter_cli.data.tfds_access import plain_row, quiet_tfds
from compacter_cli.errors import CompacterError, user_path

INFO = "dataset_info.json"  # what TFDS says of a prepared directory, its counts among it
RECEIPT = "compacter.json"  # what a directory that compacter prepared was made from
_DESCRIPTIONS = (INFO, "features.json")  # what TFDS writes beside the shards


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


def counts_in(directory):
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


def check_prepared(task, directory):
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


def receipt_of(directory):
    """What a prepared directory was made from; empty where another program prepared it."""
    try:
        return json.loads((directory / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def rows_in(task, directory):
    """`(rows by split, origin)` of a prepared directory.

    Raises:
        CompacterError: it is damaged, of another version, or not what was published.
    """
    with quiet_tfds() as tfds:
        try:
            builder = tfds.builder_from_directory(str(directory))
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
    return splits, {"way": "tfds", "path": str(directory), "name": task.original.tfds}


def _check_version(task, builder, directory):
    found = f"{builder.info.full_name}"
    wanted = task.original.tfds.replace(":", "/")
    if found != wanted:
        raise CompacterError(
            f"{directory}: expected {wanted}, found {found}",
            "give the directory of that version, or prepare it: compacter data prepare "
            f"--task {task.name}",
        )


def _read_split(task, builder, split):
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
    return sorted(rows, key=task.number)


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

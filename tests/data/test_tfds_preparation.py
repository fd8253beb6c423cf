"""TFDS directories that are made: downloaded or copied, checked, signed, and never half there."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from compacter_cli.data import tfds_preparation as preparing
from compacter_cli.data.original_files import existing_files, rows_in_folder
from compacter_cli.data.sources import load_rows
from compacter_cli.data.tfds_access import quiet_tfds
from compacter_cli.data.tfds_directory import (
    check_prepared,
    prepared_directory,
    receipt_of,
    rows_in,
)
from compacter_cli.errors import CompacterError
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import PUBLISHED, TASKS

RTE = TASKS["glue/rte"]
VERSION = "glue/rte/2.0.0"
NAMES = [task.name for task in PUBLISHED]

# Another process in which TFDS' download gives the directory that is named last.
PROCESS = """
import shutil, sys, time
from pathlib import Path
from compacter_cli.data import tfds_preparation as preparing
from compacter_cli.t5.runtime import hide_tensorflow
from compacter_cli.tasks import TASKS

hide_tensorflow()
data_dir, ready = map(Path, sys.argv[1:])
copy = lambda _, staging, __: Path(shutil.copytree(ready, staging / "glue" / "rte" / "2.0.0"))
preparing.download_and_prepare = copy
"""


@pytest.fixture(scope="module")
def expected(rte_folder):
    """The rows of the original files, which every other way must give too."""
    return load_rows(RTE, DataSection(folder=str(rte_folder)), offline=True).splits


def _load(data_dir, offline=True):
    return load_rows(RTE, DataSection(data_dir=str(data_dir)), offline=offline)


def _left(data_dir):
    """What is in a data directory beside prepared data."""
    return sorted(path.name for path in data_dir.iterdir() if path.name.startswith("."))


# By TFDS itself


@pytest.mark.parametrize(
    ("name", "splits"),
    [
        ("glue/sst2", {"train": 2, "validation": 1, "test": 1}),
        ("glue/mrpc", {"train": 2, "validation": 1, "test": 1}),
        (
            "glue/mnli",
            {
                "train": 2,
                "validation_matched": 1,
                "validation_mismatched": 2,
                "test_matched": 1,
                "test_mismatched": 1,
            },
        ),
        ("super_glue/record", {"train": 3, "validation": 1, "test": 1}),
        ("super_glue/multirc", {"train": 8, "validation": 4, "test": 4}),
    ],
)
def test_a_prepared_task_is_tfds_own(originals, tfds_apart, name, splits):
    task = originals.tasks[name]
    directory = tfds_apart.array_record / task.original.tfds.replace(":", "/")
    with quiet_tfds() as tfds:
        info = tfds.builder_from_directory(str(directory)).info
    assert info.full_name == task.original.tfds.replace(":", "/")
    assert {name: split.num_examples for name, split in info.splits.items()} == splits
    assert prepared_directory(task, tfds_apart.array_record) == directory


@pytest.mark.parametrize("name", NAMES)
def test_a_download_is_signed_as_published_with_the_hash_of_every_shard(
    originals, tfds_apart, name
):
    task = originals.tasks[name]
    directory = prepared_directory(task, tfds_apart.array_record)
    receipt = receipt_of(directory)
    assert set(receipt) == {"way", "published", "rows", "shards"}
    assert (receipt["way"], receipt["published"]) == ("download", True)
    assert receipt["rows"] == task.rows
    assert set(receipt["shards"]) == {path.name for path in directory.glob("*-*-of-*")}
    assert check_prepared(task, directory).items() >= task.rows.items()


def test_a_download_of_other_bytes_than_the_published_is_refused(tfds_apart):
    said, hint, left = tfds_apart.refused
    assert said.startswith("the download of glue/rte failed: Artifact https://dl.fbaipublicfiles")
    assert "wrong checksum" in said
    assert "\n" not in said
    assert "data.archive" in hint
    assert left == [".compacter-glue-RTE.lock", "downloads"]


def test_nothing_of_the_unpacked_zips_is_left(tfds_apart):
    left = {path.name for path in tfds_apart.array_record.iterdir() if path.suffix != ".lock"}
    assert left == {"downloads", "glue", "super_glue"}


# What is there, and what cannot be written


def test_what_is_prepared_already_is_left_as_it_is(fetched, tmp_path):
    directory, made = preparing.download(RTE, tmp_path)
    assert made
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    assert preparing.download(RTE, tmp_path) == (directory, False)
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before
    assert len(fetched) == 1


@pytest.mark.parametrize("below", ["", "tfds"])
def test_a_directory_that_cannot_be_written_is_named(fetched, tmp_path, below):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    place = tmp_path / "file" / below
    with pytest.raises(CompacterError) as caught:
        preparing.download(RTE, place)
    assert f"cannot prepare glue/rte in {place}" in str(caught.value)
    assert "--data-dir" in caught.value.hint


def test_a_file_where_the_prepared_directory_belongs_is_named(fetched, tmp_path):
    (tmp_path / "glue").write_text("in the way", encoding="utf-8")
    with pytest.raises(CompacterError, match="cannot prepare glue/rte in"):
        preparing.download(RTE, tmp_path)
    assert _left(tmp_path) == [".compacter-glue-RTE.lock"]


def test_what_has_not_the_published_number_of_rows_leaves_nothing_behind(
    fetched, originals, tmp_path
):
    with pytest.raises(CompacterError, match="expected 2 rows, got 2,490"):
        preparing.download(originals.tasks["glue/rte"], tmp_path / "tfds")
    assert [path.name for path in (tmp_path / "tfds").iterdir()] == [".compacter-glue-RTE.lock"]


# From a copy


def test_a_copy_reads_as_its_source(array_record, tmp_path, expected):
    directory, made = preparing.copy_prepared(RTE, tmp_path, array_record / VERSION)
    assert (directory, made) == (tmp_path / VERSION, True)
    assert rows_in(RTE, directory).splits == expected
    assert receipt_of(directory)["way"] == "download"  # its source's


@pytest.mark.slow
def test_a_tfrecord_directory_is_copied_too(tfrecord, tmp_path, expected):
    directory, _ = preparing.copy_prepared(RTE, tmp_path, tfrecord / VERSION)
    assert rows_in(RTE, directory).splits == expected
    receipt = receipt_of(directory)
    assert (receipt["way"], receipt["path"]) == ("copy", str(tfrecord / VERSION))
    assert len(receipt["shards"]) == 3


def test_a_damaged_directory_is_not_copied(copied, array_record, tmp_path):
    _, source = copied(array_record)
    (path,) = source.glob("glue-validation.*")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(CompacterError, match="cannot read the prepared data"):
        preparing.copy_prepared(RTE, tmp_path / "tfds", source)
    assert prepared_directory(RTE, tmp_path / "tfds") is None


# Killed


def test_a_killed_preparation_leaves_nothing_that_looks_prepared(
    fetched, array_record, tmp_path, expected
):
    code = PROCESS + (
        "preparing._moved = lambda *_: print('written', flush=True) or time.sleep(60)\n"
        "preparing.download(TASKS['glue/rte'], data_dir)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path), str(array_record / VERSION)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert _left(tmp_path) == [".compacter-glue-RTE.lock", ".compacter-glue-RTE.staging"]
    assert prepared_directory(RTE, tmp_path) is None
    started = time.monotonic()
    directory, made = preparing.download(RTE, tmp_path)
    assert made
    assert time.monotonic() - started < 60  # the lock of the dead holds up nobody
    assert rows_in(RTE, directory).splits == expected
    assert _left(tmp_path) == [".compacter-glue-RTE.lock"]


# The download


def test_what_is_not_there_is_downloaded_once_and_prepared(fetched, expected, tmp_path):
    data_dir = tmp_path / "new" / "tfds"
    assert _load(data_dir, offline=False).splits == expected
    assert len(fetched) == 1
    assert fetched[0][2] == data_dir / "downloads" / "glue"
    assert (data_dir / VERSION / "dataset_info.json").is_file()
    assert _load(data_dir, offline=False).splits == expected
    assert _load(data_dir, offline=True).splits == expected
    assert len(fetched) == 1


def test_the_prepared_directory_is_one_that_tfds_reads_itself(array_record):
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(str(array_record / VERSION))
    counts = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert counts == {"train": 2490, "validation": 277, "test": 3000}
    assert builder.info.full_name == "glue/rte/2.0.0"
    assert builder.info.features["label"].names == ["entailment", "not_entailment"]


def test_another_process_may_have_prepared_it_while_this_one_waited(fetched, copied, array_record):
    data_dir, directory = copied(array_record)
    assert preparing.download(RTE, data_dir) == (directory, False)
    assert fetched == []


def test_two_processes_that_prepare_at_once_both_succeed(array_record, tmp_path):
    code = PROCESS + "print(*preparing.download(TASKS['glue/rte'], data_dir))\n"
    command = [sys.executable, "-c", code, str(tmp_path), str(array_record / VERSION)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    printed = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    made = sorted(out.removeprefix(str(tmp_path / VERSION)) for out, _ in printed)
    assert made == [" False\n", " True\n"]
    assert [path.name for path in (tmp_path / "glue" / "rte").iterdir()] == ["2.0.0"]


def test_a_preparation_that_was_killed_is_done_anew(fetched, tmp_path, expected):
    half = tmp_path / "glue" / "rte" / "incomplete.A1B2C3_2.0.0"
    half.mkdir(parents=True)
    (half / "glue-train.array_record-00000-of-00001").write_bytes(b"half")
    (tmp_path / ".compacter-glue-RTE.lock").write_bytes(b"")
    assert _load(tmp_path, offline=False).splits == expected


def test_a_failing_download_says_so_in_one_line(monkeypatch, tmp_path):
    def fail(*_):
        raise ConnectionError("no route to https://somewhere/RTE.zip\nand a long story")

    monkeypatch.setattr(preparing, "download_and_prepare", fail)
    with pytest.raises(CompacterError) as caught:
        preparing.download(RTE, tmp_path)
    assert "the download of glue/rte failed" in str(caught.value)
    assert "no route to https://somewhere/RTE.zip" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "data.archive" in caught.value.hint
    assert _left(tmp_path) == [".compacter-glue-RTE.lock"]


def test_a_full_disk_is_no_failure_of_the_download(monkeypatch, tmp_path):
    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preparing, "download_and_prepare", fail)
    with pytest.raises(CompacterError, match=r"cannot prepare glue/rte in .*: No space left"):
        preparing.download(RTE, tmp_path)


def test_mrpc_that_cannot_be_downloaded_is_never_said_to_be_a_zip(monkeypatch, tmp_path):
    def fail(*_):
        raise ConnectionError("no route")

    monkeypatch.setattr(preparing, "download_and_prepare", fail)
    with pytest.raises(CompacterError) as caught:
        preparing.download(TASKS["glue/mrpc"], tmp_path)
    assert "data.folder" in caught.value.hint
    assert "zip" not in caught.value.hint


# The real files


@pytest.mark.real_data
def test_mrpc_as_unmodified_tfds_prepares_it_is_read_the_same(real_data, tmp_path):
    task, folder = TASKS["glue/mrpc"], Path(real_data)
    with quiet_tfds() as tfds:
        builder = tfds.builder("glue/mrpc", data_dir=str(tmp_path), file_format="array_record")
        manual = tfds.download.DownloadConfig(manual_dir=folder / "glue" / "MRPC")
        builder.download_and_prepare(download_config=manual)
    rows = rows_in_folder(task, folder, existing_files(task, folder))
    assert rows.origin["published"] is True
    assert rows_in(task, prepared_directory(task, tmp_path)).splits == rows.splits

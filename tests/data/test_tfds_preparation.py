"""Original files of every task: parsed, prepared as TFDS directories, and read back."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from compacter_cli.data import sources
from compacter_cli.data import tfds_preparation as preparing
from compacter_cli.data.original_files import opened_archive, opened_folder, rows_of
from compacter_cli.data.sources import load_rows
from compacter_cli.data.tfds_access import quiet_tfds
from compacter_cli.data.tfds_directory import prepared_directory, receipt_of, rows_in
from compacter_cli.errors import CompacterError
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import PUBLISHED, TASKS

pytestmark = pytest.mark.usefixtures("tensorflow_apart")
RTE = TASKS["glue/rte"]
VERSION = "glue/rte/2.0.0"
NAMES = [task.name for task in PUBLISHED]
ZIPPED = [task.name for task in PUBLISHED if task.original.archive]


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_gives_every_tasks_rows_as_written_by_hand(originals, name):
    rows, origin = rows_of(
        originals.tasks[name], opened_folder(originals.tasks[name], originals.folder)
    )
    assert rows == originals.rows[name]
    assert origin["way"] == "folder"
    assert set(origin["sha256"]) == set(originals.tasks[name].original.needed)


@pytest.mark.parametrize("name", ZIPPED)
def test_a_zip_gives_every_tasks_rows_as_written_by_hand(originals, name):
    task = originals.tasks[name]
    path = originals.archives / task.original.benchmark / task.original.archive
    rows, origin = rows_of(task, opened_archive(task, path))
    assert rows == originals.rows[name]
    assert origin["published"] is False


@pytest.fixture(scope="module")
def expected(rte_folder):
    """The rows of the original files, which every other way must give too."""
    return load_rows(RTE, DataSection(folder=str(rte_folder)), offline=True).splits


def _load(data_dir, offline=True):
    return load_rows(RTE, DataSection(data_dir=str(data_dir)), offline=offline)


def _prepare(task, data_dir, folder):
    return preparing.prepare(task, data_dir, partial(opened_folder, task, Path(folder)))


def _left(data_dir):
    """What is in a data directory beside prepared data."""
    return sorted(path.name for path in data_dir.iterdir() if path.name.startswith("."))


# From original files


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
def test_a_prepared_task_reads_back_as_parsed_and_is_tfds_own(originals, tmp_path, name, splits):
    task = originals.tasks[name]
    directory, made = _prepare(task, tmp_path, originals.folder)
    assert made
    assert directory == tmp_path / task.original.tfds.replace(":", "/")
    assert rows_in(task, directory)[0] == originals.rows[name]
    with quiet_tfds() as tfds:
        info = tfds.builder_from_directory(str(directory)).info
    assert info.full_name == task.original.tfds.replace(":", "/")
    assert {name: split.num_examples for name, split in info.splits.items()} == splits
    assert prepared_directory(task, tmp_path) == directory


def test_the_receipt_says_what_a_directory_was_made_from(originals, tmp_path):
    task = originals.tasks["glue/rte"]
    path = originals.archives / "glue" / "RTE.zip"
    directory, _ = preparing.prepare(task, tmp_path, partial(opened_archive, task, path))
    receipt = receipt_of(directory)
    assert set(receipt) == {"way", "path", "sha256", "published", "rows", "shards"}
    assert (receipt["way"], receipt["path"], receipt["published"]) == ("archive", str(path), False)
    assert list(receipt["sha256"]) == ["RTE.zip"]
    assert receipt["rows"] == {"train": 2, "validation": 1}


def test_what_is_prepared_already_is_left_as_it_is(originals, tmp_path):
    task = originals.tasks["glue/rte"]
    directory, _ = _prepare(task, tmp_path, originals.folder)
    before = {path: path.stat().st_mtime_ns for path in directory.iterdir()}
    assert _prepare(task, tmp_path, "/nowhere") == (directory, False)
    assert {path: path.stat().st_mtime_ns for path in directory.iterdir()} == before


@pytest.mark.parametrize("name", ["glue/rte", "glue/mrpc", "glue/mnli", "super_glue/cb"])
def test_without_its_test_file_a_task_is_prepared_without_that_split(originals, tmp_path, name):
    task = originals.tasks[name]
    shutil.copytree(originals.folder, tmp_path / "copy")
    for file in task.original.unlabelled:
        (tmp_path / "copy" / task.original.benchmark / task.original.folder / file).unlink()
    directory, _ = _prepare(task, tmp_path / "tfds", tmp_path / "copy")
    assert rows_in(task, directory)[0] == originals.rows[name]
    info = json.loads((directory / "dataset_info.json").read_text(encoding="utf-8"))
    assert {split["name"] for split in info["splits"]} == set(task.rows)


def test_damaged_files_leave_nothing_behind(originals, tmp_path):
    task = originals.tasks["glue/rte"]
    shutil.copytree(originals.folder / "glue" / "RTE", tmp_path / "copy" / "glue" / "RTE")
    (tmp_path / "copy" / "glue" / "RTE" / "dev.tsv").write_text("index\n0\n", encoding="utf-8")
    with pytest.raises(CompacterError, match=r"RTE/dev\.tsv, line 1: expected the column sent"):
        _prepare(task, tmp_path / "tfds", tmp_path / "copy")
    assert [path.name for path in (tmp_path / "tfds").iterdir()] == [".compacter-glue-RTE.lock"]


@pytest.mark.parametrize("below", ["", "tfds"])
def test_a_directory_that_cannot_be_written_is_named(originals, tmp_path, below):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    place = tmp_path / "file" / below
    with pytest.raises(CompacterError) as caught:
        _prepare(originals.tasks["glue/rte"], place, originals.folder)
    assert f"cannot prepare glue/rte in {place}" in str(caught.value)
    assert "--data-dir" in caught.value.hint


def test_a_file_where_the_prepared_directory_belongs_is_named(originals, tmp_path):
    (tmp_path / "glue").write_text("in the way", encoding="utf-8")
    with pytest.raises(CompacterError, match="cannot prepare glue/rte in"):
        _prepare(originals.tasks["glue/rte"], tmp_path, originals.folder)
    assert _left(tmp_path) == [".compacter-glue-RTE.lock"]


# From a copy


def test_a_copy_reads_as_its_source(array_record, tmp_path, expected):
    directory, made = preparing.copy_prepared(RTE, tmp_path, array_record / VERSION)
    assert (directory, made) == (tmp_path / VERSION, True)
    assert rows_in(RTE, directory)[0] == expected
    assert receipt_of(directory)["way"] == "download"  # its source's


@pytest.mark.slow
def test_a_tfrecord_directory_is_copied_too(tfrecord, tmp_path, expected):
    directory, _ = preparing.copy_prepared(RTE, tmp_path, tfrecord / VERSION)
    assert rows_in(RTE, directory)[0] == expected


def test_a_damaged_directory_is_not_copied(copied, array_record, tmp_path):
    _, source = copied(array_record)
    (path,) = source.glob("glue-validation.*")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(CompacterError, match="cannot read the prepared data"):
        preparing.copy_prepared(RTE, tmp_path / "tfds", source)
    assert prepared_directory(RTE, tmp_path / "tfds") is None


# Killed


def test_a_killed_preparation_leaves_nothing_that_looks_prepared(rte_folder, tmp_path, expected):
    code = (
        "import sys, time\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from compacter_cli.data import tfds_preparation as preparing\n"
        "from compacter_cli.data.original_files import opened_folder\n"
        "from compacter_cli.t5.runtime import hide_tensorflow\n"
        "from compacter_cli.tasks import TASKS\n"
        "hide_tensorflow()\n"
        "preparing._moved = lambda *_: print('written', flush=True) or time.sleep(60)\n"
        "task, folder = TASKS['glue/rte'], Path(sys.argv[1])\n"
        "preparing.prepare(task, Path(sys.argv[2]), partial(opened_folder, task, folder))\n"
    )
    command = [sys.executable, "-c", code, str(rte_folder), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert _left(tmp_path) == [".compacter-glue-RTE.lock", ".compacter-glue-RTE.staging"]
    assert prepared_directory(RTE, tmp_path) is None
    started = time.monotonic()
    directory, made = _prepare(RTE, tmp_path, rte_folder)
    assert made
    assert time.monotonic() - started < 60  # the lock of the dead holds up nobody
    assert rows_in(RTE, directory)[0] == expected
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


def test_two_processes_that_prepare_at_once_both_succeed(rte_archive, tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from compacter_cli.data import tfds_preparation as preparing\n"
        "from compacter_cli.tasks import TASKS\n"
        "from compacter_cli.t5.runtime import hide_tensorflow\n"
        "hide_tensorflow()\n"
        "preparing._fetch = lambda *_: {'RTE.zip': sys.argv[1]}\n"
        "print(*preparing.download(TASKS['glue/rte'], Path(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", code, str(rte_archive), str(tmp_path)]
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


def test_what_tfds_prints_is_dropped(fetched, tmp_path, capfd):
    _load(tmp_path / "new", offline=False)
    assert capfd.readouterr() == ("", "")


def test_superglues_zip_is_not_prepared_as_glue(monkeypatch, tmp_path, fetched):
    wrong = tmp_path / "RTE.zip"
    with zipfile.ZipFile(wrong, "w") as zipped:
        zipped.writestr("RTE/train.jsonl", "{}")
    monkeypatch.setattr(preparing, "_fetch", lambda *_: {"RTE.zip": wrong})
    with pytest.raises(CompacterError, match=r"expected RTE/train\.tsv"):
        _load(tmp_path / "tfds", offline=False)
    assert prepared_directory(RTE, tmp_path / "tfds") is None


def test_a_failing_download_says_so_in_one_line(tmp_path):
    def fail(url):
        raise ConnectionError(f"no route to {url}\nand a long story")

    builder = SimpleNamespace(
        builder_config=SimpleNamespace(data_url="https://somewhere/RTE.zip"),
        _make_download_manager=lambda **_: SimpleNamespace(download=fail),
    )
    with pytest.raises(CompacterError) as caught:
        preparing._fetch(RTE, builder, tmp_path)
    assert "the download of glue/rte failed" in str(caught.value)
    assert "no route to https://somewhere/RTE.zip" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "data.archive" in caught.value.hint


@pytest.fixture
def served(monkeypatch):
    """Lets TFDS' own downloader get the given bytes for every address."""
    from tensorflow_datasets.core.download import downloader

    def served(content):
        @contextlib.contextmanager
        def open_url(url, **_):
            headers = {"Content-length": str(len(content))}
            response = SimpleNamespace(headers=headers, url=url)
            yield response, iter([content])

        monkeypatch.setattr(downloader, "_open_url", open_url)

    monkeypatch.setattr(sources, "can_reach", lambda host: True)
    return served


def test_a_download_of_other_bytes_than_the_published_is_refused(served, rte_archive, tmp_path):
    served(rte_archive.read_bytes())
    with pytest.raises(CompacterError, match=r"the download of glue/rte failed"):
        _load(tmp_path, offline=False)
    assert prepared_directory(RTE, tmp_path) is None


def test_a_download_of_the_published_bytes_is_prepared(
    served, rte_archive, tmp_path, monkeypatch, expected
):
    """TFDS' registered hash is set to the made-up zip's; all the rest is the real path."""
    from tensorflow_datasets.core.download import checksums

    from compacter_cli.data import tfds_access

    original = tfds_access.tfds_builder

    @contextlib.contextmanager
    def registered(*given):
        with original(*given) as builder:
            url = builder.builder_config.data_url
            # TFDS shares these among its builders: set only while the test lasts.
            made_up = checksums.compute_url_info(str(rte_archive))
            monkeypatch.setitem(builder.url_infos, url, made_up)
            yield builder

    served(rte_archive.read_bytes())
    monkeypatch.setattr(preparing, "tfds_builder", registered)
    assert _load(tmp_path, offline=False).splits == expected


def test_mrpc_downloads_its_three_files(originals, tmp_path, monkeypatch):
    task = originals.tasks["glue/mrpc"]
    place = originals.folder / "glue" / "MRPC"
    files = {path.name: path for path in place.iterdir()}
    monkeypatch.setattr(preparing, "_fetch", lambda *_: files)
    directory, _ = preparing.download(task, tmp_path)
    assert rows_in(task, directory)[0] == originals.rows["glue/mrpc"]
    assert receipt_of(directory)["way"] == "download"


@pytest.mark.parametrize("name", NAMES)
def test_every_address_of_a_download_is_registered_with_tfds(originals, name):
    task = originals.tasks[name]
    with preparing.tfds_builder(task) as builder:
        addresses = dict(preparing._addresses(task, builder))
        names = (
            [task.original.archive]
            if task.original.archive
            else {*task.original.needed, *task.original.unlabelled}
        )
        assert set(addresses) == set(names)
        assert all(url in builder.url_infos for url in addresses.values())


# The real files


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name", ["glue/rte", "glue/mrpc", "glue/stsb", "super_glue/cb", "super_glue/copa"]
)
def test_the_real_files_are_prepared_and_read_back(real_data, tmp_path, name):
    task = TASKS[name]
    rows, _ = rows_of(task, opened_folder(task, Path(real_data)))
    directory, _ = _prepare(task, tmp_path, real_data)
    assert rows_in(task, directory)[0] == rows
    assert {split: len(found) for split, found in rows.items()} == task.rows


@pytest.mark.real_data
def test_mrpc_as_unmodified_tfds_prepares_it_is_read_the_same(real_data, tmp_path):
    task = TASKS["glue/mrpc"]
    with quiet_tfds() as tfds:
        builder = tfds.builder("glue/mrpc", data_dir=str(tmp_path), file_format="array_record")
        manual = tfds.download.DownloadConfig(manual_dir=Path(real_data) / "glue" / "MRPC")
        builder.download_and_prepare(download_config=manual)
    rows, origin = rows_of(task, opened_folder(task, Path(real_data)))
    assert origin["published"] is True
    assert rows_in(task, prepared_directory(task, tmp_path))[0] == rows

"""Prepared TFDS directories, made by TFDS' own builder: read, downloaded, damaged."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest

from compacter_cli import prepared, sources
from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.prepared import prepared_directory, tfds_root
from compacter_cli.recipe import DataSection
from compacter_cli.sources import load_rows
from compacter_cli.tasks import TASKS

RTE = TASKS["glue/rte"]
VERSION = "glue/rte/2.0.0"

# TFDS needs TensorFlow to write TFRECORD, and the tests hide it: another process.
WRITE_TFRECORD = """
import sys
import tensorflow_datasets as tfds
from compacter_cli.original_files import LocalFiles

tfds.disable_progress_bar()
root, data_dir = sys.argv[1:]
builder = tfds.builder("glue/rte:2.0.0", data_dir=data_dir, file_format="tfrecord")
builder._make_download_manager = lambda **_: LocalFiles(root)
builder.download_and_prepare()
"""


@pytest.fixture(scope="module")
def expected(rte_folder):
    """The rows of the original files, which every other way must give too."""
    return load_rows(RTE, DataSection(folder=str(rte_folder)), offline=True).splits


@pytest.fixture(scope="module")
def archive(rte_folder, tmp_path_factory):
    """The original zip, made of the original files."""
    path = tmp_path_factory.mktemp("zip") / "RTE.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as zipped:
        for name in ("train.tsv", "dev.tsv", "test.tsv"):
            zipped.write(rte_folder / "glue" / "RTE" / name, f"RTE/{name}")
    return path


@pytest.fixture(scope="module")
def array_record(archive, tmp_path_factory):
    """A data directory prepared as ArrayRecord, by the download path. Do not change it."""
    data_dir = tmp_path_factory.mktemp("array_record")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "_fetch", lambda *_: archive)
        prepared._download(RTE, data_dir)
    return data_dir


@pytest.fixture(scope="module")
def tfrecord(rte_folder, tmp_path_factory):
    """A data directory prepared as TFRECORD, TFDS' default. Do not change it."""
    data_dir = tmp_path_factory.mktemp("tfrecord")
    command = [sys.executable, "-c", WRITE_TFRECORD, str(rte_folder / "glue"), str(data_dir)]
    subprocess.run(command, check=True, capture_output=True)
    return data_dir


@pytest.fixture
def fetched(monkeypatch, archive):
    """Calls of the download; each gives the local zip. The network counts as there."""
    calls = []
    monkeypatch.setattr(sources, "can_reach", lambda host: True)
    monkeypatch.setattr(prepared, "_fetch", lambda *given: calls.append(given) or archive)
    return calls


@pytest.fixture
def copied(tmp_path):
    """Copies a prepared data directory; gives the copy and its version directory."""

    def copied(data_dir):
        shutil.copytree(data_dir, tmp_path / "copy")
        return tmp_path / "copy", tmp_path / "copy" / VERSION

    return copied


def _load(data_dir, offline=True):
    return load_rows(RTE, DataSection(data_dir=str(data_dir)), offline=offline)


def _shard(directory, split="validation"):
    (path,) = directory.glob(f"glue-{split}.*-of-*")
    return path


# What is right


def test_array_record_gives_the_rows_of_the_original_files(array_record, expected):
    rows = _load(array_record)
    assert rows.splits == expected
    assert rows.origin == {
        "way": "tfds",
        "path": str(array_record / VERSION),
        "name": "glue/rte:2.0.0",
    }
    assert _shard(array_record / VERSION).name.startswith("glue-validation.array_record-")


@pytest.mark.slow
def test_tfrecord_gives_the_rows_of_the_original_files(tfrecord, expected):
    assert _shard(tfrecord / VERSION).name.startswith("glue-validation.tfrecord-")
    assert _load(tfrecord).splits == expected


def test_the_zip_gives_the_rows_of_the_original_files(archive, expected):
    assert load_rows(RTE, DataSection(archive=str(archive)), offline=True).splits == expected


def test_rows_are_plain_python_values(array_record):
    for rows in _load(array_record).splits.values():
        assert {tuple(map(type, (r["idx"], r["label"], r["sentence1"]))) for r in rows} == {
            (int, int, str)
        }


def test_tfds_stores_another_order_than_the_original(array_record, expected):
    """The premise of sorting: without this, the tests above would prove nothing."""
    import tensorflow_datasets as tfds

    stored = tfds.builder_from_directory(str(array_record / VERSION)).as_data_source("validation")
    numbers = [int(stored[index]["idx"]) for index in range(20)]
    assert numbers != [row["idx"] for row in expected["validation"][:20]]


def test_the_version_directory_itself_can_be_named(array_record, expected):
    rows = _load(array_record / VERSION)
    assert rows.splits == expected
    assert rows.origin["path"] == str(array_record / VERSION)


def test_the_prepared_directory_is_found_or_not(array_record, tmp_path, monkeypatch):
    assert prepared_directory(RTE, str(array_record)) == array_record / VERSION
    assert prepared_directory(RTE, str(tmp_path)) is None
    monkeypatch.setenv("TFDS_DATA_DIR", str(array_record))
    assert prepared_directory(RTE) == array_record / VERSION


def test_the_root_is_what_is_given_or_tfds_default(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    assert tfds_root() == tmp_path / "tensorflow_datasets"
    assert tfds_root("~/here") == tmp_path / "here"
    monkeypatch.setenv("TFDS_DATA_DIR", "~/there")
    assert tfds_root() == tmp_path / "there"


def test_reading_writes_nothing(copied, array_record):
    data_dir, directory = copied(array_record)
    for path in (*directory.iterdir(), directory):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")}
    _load(data_dir)
    assert {path: path.stat().st_mtime_ns for path in data_dir.rglob("*")} == before
    directory.chmod(0o755)


# The download


def test_what_is_not_there_is_downloaded_once_and_prepared(fetched, expected, tmp_path):
    data_dir = tmp_path / "new" / "tfds"
    assert _load(data_dir, offline=False).splits == expected
    assert len(fetched) == 1
    assert fetched[0][1] == data_dir / "downloads" / "glue"
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
    assert prepared._download(RTE, data_dir) == directory
    assert fetched == []


def test_two_processes_that_prepare_at_once_both_succeed(archive, tmp_path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from compacter_cli import prepared\n"
        "from compacter_cli.tasks import TASKS\n"
        "from compacter_cli.runtime import hide_tensorflow\n"
        "hide_tensorflow()\n"
        "prepared._fetch = lambda *_: sys.argv[1]\n"
        "print(prepared._download(TASKS['glue/rte'], Path(sys.argv[2])))\n"
    )
    command = [sys.executable, "-c", code, str(archive), str(tmp_path)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, **pipes) for _ in range(2)]
    printed = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], printed
    assert [out for out, _ in printed] == [f"{tmp_path / VERSION}\n"] * 2
    assert [path.name for path in (tmp_path / "glue" / "rte").iterdir()] == ["2.0.0"]


def test_a_preparation_that_was_killed_is_done_anew(fetched, tmp_path, expected):
    half = tmp_path / "glue" / "rte" / "incomplete.A1B2C3_2.0.0"
    half.mkdir(parents=True)
    (half / "glue-train.array_record-00000-of-00001").write_bytes(b"half")
    (tmp_path / ".compacter-glue-RTE.lock").write_bytes(b"")
    assert _load(tmp_path, offline=False).splits == expected


def test_what_tfds_prints_goes_to_stderr(fetched, tmp_path, capsys):
    _load(tmp_path / "new", offline=False)
    assert capsys.readouterr().out == ""


def test_superglues_zip_is_not_prepared_as_glue(monkeypatch, tmp_path, fetched):
    wrong = tmp_path / "RTE.zip"
    with zipfile.ZipFile(wrong, "w") as zipped:
        zipped.writestr("RTE/train.jsonl", "{}")
    monkeypatch.setattr(prepared, "_fetch", lambda *_: wrong)
    with pytest.raises(CompacterError, match=r"expected RTE/train\.tsv"):
        _load(tmp_path / "tfds", offline=False)
    assert prepared_directory(RTE, tmp_path / "tfds") is None


def test_a_failing_download_says_so_in_one_line():
    def fail(url):
        raise ConnectionError(f"no route to {url}\nand a long story")

    builder = SimpleNamespace(
        builder_config=SimpleNamespace(data_url="https://somewhere/RTE.zip"),
        _make_download_manager=lambda **_: SimpleNamespace(download=fail),
    )
    with pytest.raises(CompacterError) as caught:
        prepared._fetch(builder, "unused")
    assert "the download of https://somewhere/RTE.zip failed" in str(caught.value)
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


def test_a_download_of_other_bytes_than_the_published_is_refused(served, archive, tmp_path):
    served(archive.read_bytes())
    with pytest.raises(CompacterError, match=r"the download of https://.*RTE\.zip failed"):
        _load(tmp_path, offline=False)
    assert prepared_directory(RTE, tmp_path) is None


def test_a_download_of_the_published_bytes_is_prepared(
    served, archive, tmp_path, monkeypatch, expected
):
    """TFDS' registered hash is set to the made-up zip's; all the rest is the real path."""
    from tensorflow_datasets.core.download import checksums

    from compacter_cli import tfds_access

    original = tfds_access.tfds_builder

    @contextlib.contextmanager
    def registered(*given):
        with original(*given) as builder:
            url = builder.builder_config.data_url
            builder.url_infos[url] = checksums.compute_url_info(str(archive))
            yield builder

    served(archive.read_bytes())
    monkeypatch.setattr(prepared, "tfds_builder", registered)
    assert _load(tmp_path, offline=False).splits == expected


# What is wrong


def test_an_unprepared_directory_offline_is_a_missing_resource(tmp_path):
    with pytest.raises(MissingResourceError, match=str(tmp_path)):
        _load(tmp_path)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_a_directory_without_its_metadata_is_refused(copied, array_record, name):
    data_dir, directory = copied(array_record)
    (directory / name).unlink()
    with pytest.raises(CompacterError, match=f"lacks {name}"):
        prepared_directory(RTE, data_dir)
    with pytest.raises(CompacterError, match="lacks"):
        _load(data_dir)


@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_half_a_directory_is_prepared_anew_or_refused_in_words(
    copied, array_record, fetched, expected, name
):
    data_dir, directory = copied(array_record)
    (directory / name).unlink()
    try:
        rows = _load(data_dir, offline=False)
    except CompacterError as error:
        assert str(directory) in str(error)  # noqa: PT017
    else:
        assert rows.splits == expected


@pytest.mark.parametrize("content", ["", "{", "[]"])
@pytest.mark.parametrize("name", ["dataset_info.json", "features.json"])
def test_damaged_metadata_is_refused_in_words(copied, array_record, name, content):
    data_dir, directory = copied(array_record)
    (directory / name).write_text(content, encoding="utf-8")
    with pytest.raises(CompacterError) as caught:
        _load(data_dir)
    assert str(directory) in str(caught.value)


def _other_version(directory):
    other = directory.with_name("1.0.0")
    directory.rename(other)
    info = json.loads((other / "dataset_info.json").read_text(encoding="utf-8"))
    info["version"] = "1.0.0"
    (other / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    return other


def test_another_version_is_refused_with_both(copied, array_record):
    other = _other_version(copied(array_record)[1])
    with pytest.raises(CompacterError) as caught:
        _load(other)
    assert str(caught.value) == f"{other}: expected glue/rte/2.0.0, found glue/rte/1.0.0"


def test_another_version_beside_is_not_taken(copied, array_record):
    data_dir, directory = copied(array_record)
    _other_version(directory)
    with pytest.raises(MissingResourceError):
        _load(data_dir)


def test_another_data_set_is_refused(copied, array_record):
    _, directory = copied(array_record)
    info = json.loads((directory / "dataset_info.json").read_text(encoding="utf-8"))
    info["configName"] = "wnli"
    (directory / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    with pytest.raises(CompacterError, match=r"expected glue/rte/2\.0\.0"):
        _load(directory)


def test_a_missing_shard_is_refused_in_words(copied, array_record):
    data_dir, directory = copied(array_record)
    _shard(directory).unlink()
    with pytest.raises(CompacterError, match="glue-validation"):
        _load(data_dir)


@pytest.mark.parametrize("kept", [0, 100, 9000, -10])
def test_a_truncated_array_record_is_refused_in_words(copied, array_record, kept):
    data_dir, directory = copied(array_record)
    path = _shard(directory)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(CompacterError) as caught:
        _load(data_dir)
    assert str(directory) in str(caught.value)


def _flip(path, position):
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("position", [0, 500, 5000, 13_000, 40_000, 65_600, -100])
def test_a_flipped_bit_of_array_record_never_changes_a_row_in_silence(
    copied, array_record, expected, position
):
    data_dir, directory = copied(array_record)
    _flip(_shard(directory), position)
    try:
        rows = _load(data_dir)
    except CompacterError as error:
        assert str(directory) in str(error)  # noqa: PT017
    else:
        assert rows.splits == expected  # a byte of padding


@pytest.mark.slow
def test_a_truncated_tfrecord_is_refused_in_words(copied, tfrecord):
    data_dir, directory = copied(tfrecord)
    path = _shard(directory)
    whole = path.read_bytes()
    for kept in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(CompacterError) as caught:
            _load(data_dir)
        assert str(directory) in str(caught.value)


@pytest.mark.slow
def test_a_flipped_letter_of_tfrecord_is_noticed(copied, tfrecord):
    data_dir, directory = copied(tfrecord)
    path = _shard(directory)
    _flip(path, path.read_bytes().index(b'Premise "100"'))
    with pytest.raises(CompacterError, match="glue-validation"):
        _load(data_dir)


@pytest.mark.slow
def test_half_a_tfrecord_directory_is_prepared_anew_or_refused_in_words(
    copied, tfrecord, fetched, expected
):
    data_dir, directory = copied(tfrecord)
    (directory / "features.json").unlink()
    try:
        rows = _load(data_dir, offline=False)
    except CompacterError as error:
        assert str(directory) in str(error)  # noqa: PT017
    else:
        assert rows.splits == expected


# TFRECORD by hand


def _crc32c(data):
    """The CRC-32C of `data`, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def _masked(data):
    value = _crc32c(data)
    return ((((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF).to_bytes(4, "little")


def _record(data):
    length = len(data).to_bytes(8, "little")
    return length + _masked(length) + data + _masked(data)


def test_the_hand_made_checksum_is_the_published_one():
    assert _crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("contents", [[], [b"one"], [b"one", b"", b"x" * 1000]])
def test_records_by_hand_are_read(tmp_path, contents):
    path = tmp_path / "records"
    path.write_bytes(b"".join(map(_record, contents)))
    assert list(prepared._records(path)) == contents


@pytest.mark.parametrize("kept", range(1, 19))
def test_a_record_that_ends_too_early_is_an_error(tmp_path, kept):
    path = tmp_path / "records"
    whole = _record(b"one")
    assert len(whole) == 19
    path.write_bytes(_record(b"first") + whole[:kept])
    with pytest.raises(EOFError, match="records"):
        list(prepared._records(path))


@pytest.mark.parametrize("position", [0, 9, 12, 14, 16])
def test_a_record_with_a_flipped_bit_is_an_error(tmp_path, position):
    path = tmp_path / "records"
    path.write_bytes(_record(b"one") + _record(b"two"))
    _flip(path, position)
    with pytest.raises(Exception, match="records"):
        list(prepared._records(path))


@pytest.mark.slow
def test_hand_made_records_are_what_tfds_writes(tfrecord):
    path = _shard(tfrecord / VERSION)
    written = path.read_bytes()
    records = list(prepared._records(path))
    assert len(records) == 277
    buffer = io.BytesIO(written)
    for record in records[:3]:
        made = _record(record)
        assert buffer.read(len(made)) == made

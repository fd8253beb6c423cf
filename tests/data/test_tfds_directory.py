"""Prepared TFDS directories, made by TFDS' own builder: read, downloaded, damaged."""

import io
import json

import pytest

from compacter_cli.data import tfds_directory as prepared
from compacter_cli.data.sources import load_rows
from compacter_cli.data.tfds_directory import prepared_directory, tfds_root
from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import TASKS

RTE = TASKS["glue/rte"]
VERSION = "glue/rte/2.0.0"


@pytest.fixture(scope="module")
def expected(rte_folder):
    """The rows of the original files, which every other way must give too."""
    return load_rows(RTE, DataSection(folder=str(rte_folder)), offline=True).splits


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


def test_the_zip_gives_the_rows_of_the_original_files(rte_archive, expected):
    assert load_rows(RTE, DataSection(archive=str(rte_archive)), offline=True).splits == expected


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
    assert "compacter data prepare --task glue/rte" in caught.value.hint


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
    with pytest.raises(CompacterError, match="the shards of validation are not there"):
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

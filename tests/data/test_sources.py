"""Where rows come from: said at once where they cannot be had, checked where they can."""

import json
import zipfile

import pytest

from compacter_cli.data import sources
from compacter_cli.data.sources import check_rows, load_rows
from compacter_cli.errors import MissingResourceError
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import TASKS

RTE = TASKS["glue/rte"]
NOT_HERE = "glue/rte is not prepared in"


@pytest.fixture
def asked(monkeypatch):
    """Hosts that were asked for; none of them can be reached."""
    hosts = []
    monkeypatch.setattr(sources, "can_reach", lambda host: hosts.append(host) or False)
    return hosts


@pytest.fixture
def prepared(tmp_path):
    """A directory that looks prepared, down to its two files of metadata."""
    directory = tmp_path / "tfds" / "glue" / "rte" / "2.0.0"
    directory.mkdir(parents=True)
    splits = [{"name": name, "shardLengths": [str(rows)]} for name, rows in RTE.rows.items()]
    described = {"splits": splits}
    for name in ("dataset_info.json", "features.json"):
        (directory / name).write_text(json.dumps(described), encoding="utf-8")
    for split in RTE.rows:
        (directory / f"glue-{split}.array_record-00000-of-00001").write_bytes(b"not read yet")
    return tmp_path / "tfds"


def test_offline_with_nothing_names_every_way_out_and_asks_no_network(asked, tmp_path):
    with pytest.raises(MissingResourceError) as caught:
        load_rows(RTE, DataSection(data_dir=str(tmp_path)), offline=True)
    assert asked == []
    assert str(caught.value) == f"{NOT_HERE} {tmp_path} and --offline is given"
    for way in ("connect", "data.data_dir", "data.archive", "RTE.zip", "data.folder"):
        assert way in caught.value.hint
    assert "glue/RTE/train.tsv" in caught.value.hint
    assert caught.value.exit_code == 3


def test_without_network_it_says_so_and_names_the_host(asked, tmp_path):
    with pytest.raises(MissingResourceError) as caught:
        load_rows(RTE, DataSection(data_dir=str(tmp_path)))
    assert asked == ["dl.fbaipublicfiles.com"]
    assert "dl.fbaipublicfiles.com cannot be reached" in str(caught.value)
    assert "data.folder" in caught.value.hint


def test_nothing_is_written_where_nothing_can_be_had(asked, tmp_path):
    with pytest.raises(MissingResourceError):
        load_rows(RTE, DataSection(data_dir=str(tmp_path / "new")))
    assert list(tmp_path.iterdir()) == []


def test_a_reachable_host_passes_the_check(monkeypatch, tmp_path):
    monkeypatch.setattr(sources, "can_reach", lambda host: True)
    check_rows(RTE, DataSection(data_dir=str(tmp_path)))


def test_the_default_data_directory_is_tfds_own(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "mine"))
    with pytest.raises(MissingResourceError, match="mine and"):
        check_rows(RTE, DataSection())
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MissingResourceError) as caught:
        check_rows(RTE, DataSection())
    assert str(tmp_path / "tensorflow_datasets") in str(caught.value)


def test_what_is_on_this_disk_needs_no_network(asked, tmp_path, rte_folder, prepared, monkeypatch):
    archive = tmp_path / "RTE.zip"
    archive.write_bytes(b"not looked into yet")
    for section in (
        DataSection(folder=str(rte_folder)),
        DataSection(archive=str(archive)),
        DataSection(data_dir=str(prepared)),
    ):
        check_rows(RTE, section, offline=True)
        check_rows(RTE, section)
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    check_rows(RTE, DataSection())
    assert asked == []


def test_a_generated_task_is_always_there(asked):
    check_rows(TASKS["demo/smoke"], DataSection(folder="/nowhere"), offline=True)
    assert asked == []


def test_mrpc_is_never_said_to_be_a_zip(asked, tmp_path):
    with pytest.raises(MissingResourceError) as caught:
        check_rows(TASKS["glue/mrpc"], DataSection(data_dir=str(tmp_path)), offline=True)
    assert "data.archive" not in caught.value.hint
    assert "glue/MRPC/msr_paraphrase_train.txt" in caught.value.hint
    with pytest.raises(MissingResourceError, match="plain files, not as a zip"):
        check_rows(TASKS["glue/mrpc"], DataSection(archive=str(tmp_path / "MRPC.zip")))


@pytest.mark.parametrize("way", ["folder", "archive"])
def test_a_way_that_is_given_is_the_only_one_tried(asked, prepared, tmp_path, way):
    section = DataSection(**{way: str(tmp_path / "nowhere"), "data_dir": str(prepared)})
    with pytest.raises(MissingResourceError, match="nowhere"):
        load_rows(RTE, section)
    assert asked == []


def test_a_home_path_of_a_folder_is_expanded(rte_folder, monkeypatch):
    monkeypatch.setenv("HOME", str(rte_folder.parent))
    rows = load_rows(RTE, DataSection(folder=f"~/{rte_folder.name}"))
    assert len(rows.splits["train"]) == 2490


def test_the_same_rows_come_of_a_folder_and_its_zip(rte_folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "RTE.zip", "w") as archive:
        for path in (rte_folder / "glue" / "RTE").iterdir():
            archive.write(path, f"RTE/{path.name}")
    folder = load_rows(RTE, DataSection(folder=str(rte_folder)))
    zipped = load_rows(RTE, DataSection(archive=str(tmp_path / "RTE.zip")))
    assert folder.splits == zipped.splits
    assert folder.origin["way"] != zipped.origin["way"]

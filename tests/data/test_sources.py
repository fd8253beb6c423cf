"""Where rows come from: said at once where they cannot be had, checked where they can."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest

from compacter_cli.data import tfds_directory as directories
from compacter_cli.data import tfds_preparation as preparing
from compacter_cli.data.sources import find_rows, load_rows
from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.recipe.sections import DataSection, OwnDataSection
from compacter_cli.tasks import TASKS

RTE = TASKS["glue/rte"]
NOT_HERE = "glue/rte is not prepared in"


@pytest.fixture
def asked(monkeypatch):
    """Hosts that were asked for; none of them can be reached."""
    hosts = []
    monkeypatch.setattr(preparing, "can_reach", lambda host: hosts.append(host) or False)
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
    monkeypatch.setattr(preparing, "can_reach", lambda host: True)
    find_rows(RTE, DataSection(data_dir=str(tmp_path)))


def test_the_default_data_directory_is_tfds_own(asked, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "mine"))
    with pytest.raises(MissingResourceError, match="mine and"):
        find_rows(RTE, DataSection())
    monkeypatch.delenv("TFDS_DATA_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(MissingResourceError) as caught:
        find_rows(RTE, DataSection())
    assert str(tmp_path / "tensorflow_datasets") in str(caught.value)


def test_what_is_on_this_disk_needs_no_network(asked, tmp_path, rte_folder, prepared, monkeypatch):
    archive = tmp_path / "RTE.zip"
    archive.write_bytes(b"not looked into yet")
    for section in (
        DataSection(folder=str(rte_folder)),
        DataSection(archive=str(archive)),
        DataSection(data_dir=str(prepared)),
    ):
        find_rows(RTE, section, offline=True)
        find_rows(RTE, section)
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    find_rows(RTE, DataSection())
    assert asked == []


def test_a_generated_task_is_always_there(asked):
    find_rows(TASKS["demo/smoke"], DataSection(folder="/nowhere"), offline=True)
    assert asked == []


def test_mrpc_is_never_said_to_be_a_zip(asked, tmp_path):
    with pytest.raises(MissingResourceError) as caught:
        find_rows(TASKS["glue/mrpc"], DataSection(data_dir=str(tmp_path)), offline=True)
    assert "data.archive" not in caught.value.hint
    assert "glue/MRPC/msr_paraphrase_train.txt" in caught.value.hint
    with pytest.raises(MissingResourceError, match="plain files, not as a zip"):
        find_rows(TASKS["glue/mrpc"], DataSection(archive=str(tmp_path / "MRPC.zip")))


@pytest.mark.parametrize("way", ["folder", "archive"])
def test_a_way_that_is_given_is_the_only_one_tried(asked, prepared, tmp_path, monkeypatch, way):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    section = DataSection(**{way: str(tmp_path / "nowhere")})
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


# Found once


def test_a_source_is_found_at_once_and_read_when_it_is_needed(rte_folder):
    source = find_rows(RTE, DataSection(folder=str(rte_folder)), offline=True)
    assert source.load() == load_rows(RTE, DataSection(folder=str(rte_folder)), offline=True)


def test_what_a_source_found_is_not_looked_for_again(rte_folder, tmp_path):
    shutil.copytree(rte_folder, tmp_path / "copy")
    source = find_rows(RTE, DataSection(folder=str(tmp_path / "copy")), offline=True)
    (tmp_path / "copy" / "glue" / "RTE" / "dev.tsv").unlink()
    with pytest.raises(CompacterError, match=r"cannot read .*dev\.tsv"):
        source.load()


def test_shards_are_hashed_once_between_finding_and_reading(array_record, monkeypatch):
    hashed, real = [], directories.sha256_of
    monkeypatch.setattr(directories, "sha256_of", lambda path: hashed.append(path) or real(path))
    source = find_rows(RTE, DataSection(data_dir=str(array_record)), offline=True)
    assert len(source.load().splits["train"]) == 2490
    assert sorted(path.name.partition(".")[0] for path in hashed) == [
        *("glue-test", "glue-train", "glue-validation")
    ]


def test_original_files_are_read_once(rte_folder, monkeypatch):
    opened, real = [], open

    def counted(path, *given, **more):
        opened.append(Path(path).name)
        return real(path, *given, **more)

    monkeypatch.setattr("builtins.open", counted)
    find_rows(RTE, DataSection(folder=str(rte_folder)), offline=True).load()
    assert sorted(opened) == ["dev.tsv", "train.tsv"]


def test_a_download_begins_where_the_rows_are_needed_and_not_before(fetched, tmp_path):
    source = find_rows(RTE, DataSection(data_dir=str(tmp_path)))
    assert (fetched, list(tmp_path.iterdir())) == ([], [])
    assert source.load().counts == {"train": 2490, "validation": 277}
    assert len(fetched) == 1


def test_a_section_that_says_nothing_of_a_tasks_rows_is_a_mistake_of_the_caller():
    section = OwnDataSection(train="rows.jsonl", source="{text}", target="{label}")
    with pytest.raises(TypeError, match="OwnDataSection says nothing of where glue/rte is"):
        find_rows(RTE, section)

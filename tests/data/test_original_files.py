"""Original files, in a folder or in their zip: what is read, and what damage is named."""

import hashlib
import json
import shutil
import subprocess
import sys
import tracemalloc
import zipfile

import pytest

from compacter_cli.data import original_files
from compacter_cli.data.original_files import (
    existing_archive,
    existing_files,
    rows_in_archive,
    rows_in_folder,
)
from compacter_cli.data.sources import load_rows
from compacter_cli.data.tfds_directory import prepared_directory, rows_in
from compacter_cli.errors import CompacterError, MissingResourceError
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import PUBLISHED, TASKS

RTE = TASKS["glue/rte"]
TAB = b"\t"
NAMES = [task.name for task in PUBLISHED]
ZIPPED = [task.name for task in PUBLISHED if task.original.archive]

# Reads every task's small files from folder and zip; prints the modules that nobody needs for it.
READ_ALL = """
import dataclasses, json, sys
from pathlib import Path
from compacter_cli.data.sources import load_rows
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import TASKS

folder, archives, rows = sys.argv[1:]
for name, counts in json.loads(rows).items():
    task = dataclasses.replace(TASKS[name], rows=counts)
    sections = [DataSection(folder=folder)]
    if task.original.archive:
        path = Path(archives, task.original.benchmark, task.original.archive)
        sections.append(DataSection(archive=str(path)))
    for section in sections:
        assert {k: len(v) for k, v in load_rows(task, section, True).splits.items()} == counts
heavy = ("tensorflow", "tensorflow_datasets", "array_record", "torch", "keras", "numpy")
print([name for name in heavy if name in sys.modules])
"""


@pytest.fixture(scope="module")
def expected(rte_folder):
    """The rows of the made-up files, read by hand."""
    labels = {"entailment": 0, "not_entailment": 1}
    rows = {}
    for split, name in (("train", "train"), ("validation", "dev")):
        text = (rte_folder / "glue" / "RTE" / f"{name}.tsv").read_text(encoding="utf-8")
        cells = [line.split("\t") for line in text.splitlines()[1:]]
        rows[split] = [
            {"idx": int(i), "sentence1": a, "sentence2": b, "label": labels[label]}
            for i, a, b, label in cells
        ]
    return rows


@pytest.fixture
def damaged(rte_folder, tmp_path):
    """Copies the files and edits the bytes of one; returns the copy's rows or raises."""

    def damaged(edit, name="dev.tsv"):
        folder = tmp_path / "copy"
        shutil.copytree(rte_folder, folder)
        path = folder / "glue" / "RTE" / name
        path.write_bytes(edit(path.read_bytes()))
        return load_rows(RTE, DataSection(folder=str(folder)), offline=True)

    return damaged


def _line(number, new):
    """An edit that replaces a line; the header is line 1."""

    def edit(data):
        lines = data.split(b"\n")
        lines[number - 1] = new
        return b"\n".join(lines)

    return edit


def _zip(path, folder, names=("train", "dev", "test"), method=zipfile.ZIP_DEFLATED, more=()):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name in names:
            archive.write(folder / "glue" / "RTE" / f"{name}.tsv", f"RTE/{name}.tsv")
        for name, text in more:
            archive.writestr(name, text)
    return path


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# Every task


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_gives_every_tasks_rows_as_written_by_hand(originals, name):
    task = originals.tasks[name]
    rows = rows_in_folder(task, originals.folder, existing_files(task, originals.folder))
    assert rows.splits == originals.rows[name]
    assert rows.origin["way"] == "folder"
    assert set(rows.origin["sha256"]) == set(task.original.needed)


@pytest.mark.parametrize("name", ZIPPED)
def test_a_zip_gives_every_tasks_rows_as_written_by_hand(originals, name):
    task = originals.tasks[name]
    path = originals.archives / task.original.benchmark / task.original.archive
    rows = rows_in_archive(task, path)
    assert rows.splits == originals.rows[name]
    assert rows.origin["published"] is False


@pytest.mark.parametrize("name", NAMES)
def test_tfds_makes_the_same_rows_of_the_same_files(originals, tfds_apart, name):
    task = originals.tasks[name]
    directory = prepared_directory(task, tfds_apart.array_record)
    assert rows_in(task, directory).splits == originals.rows[name]


def test_reading_originals_of_every_task_imports_neither_tensorflow_nor_tfds(originals):
    rows = {name: task.rows for name, task in originals.tasks.items()}
    command = [sys.executable, "-c", READ_ALL, originals.folder, originals.archives]
    done = subprocess.run([*command, json.dumps(rows)], capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


# A folder


def test_a_folder_gives_the_rows_in_file_order(rte_folder, expected):
    rows = load_rows(RTE, DataSection(folder=str(rte_folder)), offline=True)
    assert rows.splits == expected
    assert rows.splits["validation"][5]["sentence1"] == 'Premise "5" of dev.'


def test_a_folders_origin_records_the_hash_of_every_file(rte_folder):
    origin = load_rows(RTE, DataSection(folder=str(rte_folder)), offline=True).origin
    place = rte_folder / "glue" / "RTE"
    assert origin == {
        "way": "folder",
        "path": str(rte_folder),
        "sha256": {name: _sha256(place / name) for name in ("train.tsv", "dev.tsv")},
    }


def test_a_missing_folder_names_every_path(tmp_path):
    folder = tmp_path / "nowhere"
    with pytest.raises(MissingResourceError) as caught:
        load_rows(RTE, DataSection(folder=str(folder)))
    assert str(folder / "glue" / "RTE" / "train.tsv") in str(caught.value)
    assert str(folder / "glue" / "RTE" / "dev.tsv") in str(caught.value)
    assert caught.value.hint == "the folder must hold glue/RTE/train.tsv and dev.tsv"
    assert caught.value.exit_code == 3


def test_one_missing_file_is_the_one_named(rte_folder, tmp_path):
    shutil.copytree(rte_folder, tmp_path / "copy")
    path = tmp_path / "copy" / "glue" / "RTE" / "dev.tsv"
    path.unlink()
    with pytest.raises(MissingResourceError) as caught:
        load_rows(RTE, DataSection(folder=str(tmp_path / "copy")))
    assert str(path) in str(caught.value)
    assert "train.tsv not found" not in str(caught.value)
    assert str(path.with_name("train.tsv")) not in str(caught.value)


def test_the_unlabelled_test_file_is_not_needed(rte_folder, tmp_path, expected):
    shutil.copytree(rte_folder, tmp_path / "copy")
    (tmp_path / "copy" / "glue" / "RTE" / "test.tsv").unlink()
    rows = load_rows(RTE, DataSection(folder=str(tmp_path / "copy")))
    assert rows.splits == expected


# What is written differently and still right


@pytest.mark.parametrize(
    "edit",
    [
        pytest.param(lambda data: data.replace(b"\n", b"\r\n"), id="crlf"),
        pytest.param(lambda data: b"\xef\xbb\xbf" + data, id="bom"),
        pytest.param(lambda data: data.rstrip(b"\n"), id="no newline at the end"),
        pytest.param(lambda data: data + b"\n\n", id="empty lines at the end"),
    ],
)
@pytest.mark.parametrize("name", ["train.tsv", "dev.tsv"])
def test_line_ends_and_a_byte_order_mark_do_not_matter(damaged, expected, edit, name):
    assert damaged(edit, name).splits == expected


def test_quotes_are_text(damaged):
    rows = damaged(_line(7, b'5\t"He said\tno "" and "\tentailment')).splits["validation"]
    assert rows[5] == {"idx": 5, "sentence1": '"He said', "sentence2": 'no "" and "', "label": 0}
    assert len(rows) == 277


def test_letters_beyond_ascii_are_kept(damaged):
    text = "Größe 体积 \u2028 \U0001f34e"
    row = damaged(_line(7, f"5\t{text}\tb\tentailment".encode())).splits["validation"][5]
    assert row["sentence1"] == text


# Damage


@pytest.mark.parametrize("short", [b"5", b"5\tonly one", b"5\ttwo\tcells"])
def test_a_short_row_is_named_by_its_line(damaged, short):
    with pytest.raises(CompacterError) as caught:
        damaged(_line(7, short))
    assert str(caught.value).endswith(
        "RTE/dev.tsv, line 7: expected 4 columns (index, sentence1, sentence2, label), got "
        f"{short.count(TAB) + 1} (expected 277 rows, got 276)"
    )
    assert "mend that line" in caught.value.hint


def test_an_empty_label_is_named_by_its_line(damaged):
    with pytest.raises(CompacterError) as caught:
        damaged(_line(7, b"5\ta\tb\t"))
    said = """RTE/dev.tsv, line 7: the label is '', expected "entailment" or "not_entailment\""""
    assert said in str(caught.value)


def test_of_several_short_rows_the_first_is_named(damaged):
    with pytest.raises(CompacterError, match=r"RTE/train\.tsv, line 12: expected 4 columns"):
        damaged(lambda data: _line(1002, b"x")(_line(12, b"x")(data)), "train.tsv")


def test_a_deleted_line_is_noticed_and_no_other_line_is_blamed(damaged):
    with pytest.raises(CompacterError, match=r"dev\.tsv: expected 277 rows, got 276") as caught:
        damaged(lambda data: b"\n".join(data.split(b"\n")[:6] + data.split(b"\n")[7:]))
    assert ", line" not in str(caught.value)
    assert caught.value.hint == "take the original file again"


def test_a_row_too_many_is_noticed(damaged):
    with pytest.raises(CompacterError, match="expected 277 rows, got 278"):
        damaged(lambda data: data + b"277\ta\tb\tentailment\n")


def test_an_empty_file_is_noticed(damaged):
    with pytest.raises(CompacterError, match=r"dev\.tsv, line 1: expected the column sentence1"):
        damaged(lambda data: b"")


@pytest.mark.parametrize("label", ["maybe", "Entailment", "entailment ", "2"])
@pytest.mark.parametrize("name", ["train.tsv", "dev.tsv"])
def test_a_wrong_label_is_refused_with_its_file_and_line(damaged, label, name):
    with pytest.raises(CompacterError) as caught:
        damaged(_line(7, f"5\ta\tb\t{label}".encode()), name)
    assert str(caught.value).endswith(
        f'RTE/{name}, line 7: the label is {label!r}, expected "entailment" or "not_entailment"'
    )


@pytest.mark.parametrize("number", [7, 1, 278])
def test_a_byte_that_is_not_utf8_is_named_by_its_line(damaged, number):
    with pytest.raises(CompacterError, match=f"RTE/dev.tsv, line {number}: not UTF-8"):
        damaged(_line(number, b"5\tcaf\xe9\tb\tentailment"))


@pytest.mark.parametrize("column", ["sentence1", "sentence2", "label"])
def test_a_missing_column_is_named(damaged, column):
    with pytest.raises(CompacterError) as caught:
        damaged(lambda data: data.replace(column.encode(), b"other", 1))
    header = ", ".join(("index", "sentence1", "sentence2", "label")).replace(column, "other")
    said = f"RTE/dev.tsv, line 1: expected the column {column} in the header, got {header}"
    assert said in str(caught.value)


def test_a_file_without_header_is_refused(damaged):
    with pytest.raises(CompacterError, match=r"line 1: expected the column sentence1 in the head"):
        damaged(lambda data: data.partition(b"\n")[2])


# A zip


def test_a_zip_gives_the_rows_of_the_folder(rte_folder, tmp_path, expected):
    archive = _zip(tmp_path / "RTE.zip", rte_folder)
    rows = load_rows(RTE, DataSection(archive=str(archive)), offline=True)
    assert rows.splits == expected


def test_a_zips_origin_records_its_hash_and_that_it_is_not_the_published_one(rte_folder, tmp_path):
    archive = _zip(tmp_path / "RTE.zip", rte_folder)
    origin = load_rows(RTE, DataSection(archive=str(archive)), offline=True).origin
    assert origin == {
        "way": "archive",
        "path": str(archive),
        "sha256": {"RTE.zip": _sha256(archive)},
        "published": False,
    }


def test_the_published_zip_is_known_by_its_hash(rte_folder, tmp_path, monkeypatch):
    archive = _zip(tmp_path / "RTE.zip", rte_folder)
    published = RTE.original.sha256["RTE.zip"]
    assert published.startswith("6bf86de103ecd335")  # as TFDS registers it
    monkeypatch.setattr(original_files, "sha256_of", lambda path: published)
    assert rows_in_archive(RTE, archive).origin["published"] is True


@pytest.mark.parametrize("name", NAMES)
def test_the_published_hashes_are_those_that_tfds_registers(tfds_apart, name):
    original = TASKS[name].original
    names = [original.archive] if original.archive else original.needed
    assert set(original.sha256) == set(names)
    assert original.sha256 == tfds_apart.facts[name]["sha256"]


def test_mrpc_was_never_zipped(tmp_path):
    (tmp_path / "MRPC.zip").write_bytes(b"")
    with pytest.raises(MissingResourceError) as caught:
        existing_archive(TASKS["glue/mrpc"], tmp_path / "MRPC.zip")
    assert "glue/mrpc was published as plain files, not as a zip" in str(caught.value)
    assert "data.folder" in caught.value.hint
    assert "glue/MRPC/msr_paraphrase_train.txt and data_mrpc_dev_ids.tsv" in caught.value.hint


@pytest.mark.parametrize("what", ["nowhere.zip", "."])
def test_a_zip_that_is_not_there_is_a_missing_resource(tmp_path, what):
    with pytest.raises(MissingResourceError) as caught:
        load_rows(RTE, DataSection(archive=str(tmp_path / what)))
    assert str(tmp_path) in str(caught.value)


def test_a_home_path_of_a_zip_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "RTE.zip").write_bytes(b"")
    assert existing_archive(RTE, "~/RTE.zip") == tmp_path / "RTE.zip"


@pytest.mark.parametrize("content", [b"<html>404 Not Found</html>", b""])
def test_a_web_page_saved_as_zip_is_called_that(tmp_path, content):
    archive = tmp_path / "RTE.zip"
    archive.write_bytes(content)
    with pytest.raises(CompacterError, match="not a zip file") as caught:
        load_rows(RTE, DataSection(archive=str(archive)))
    assert str(archive) in str(caught.value)
    assert "web page" in caught.value.hint


def test_superglues_rte_zip_is_refused_with_what_was_expected(tmp_path):
    archive = tmp_path / "RTE.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in ("train", "val", "test"):
            zipped.writestr(f"RTE/{name}.jsonl", "{}\n")
    with pytest.raises(CompacterError, match=r"expected RTE/train\.tsv, RTE/dev\.tsv") as caught:
        load_rows(RTE, DataSection(archive=str(archive)))
    assert "RTE/train.jsonl" in str(caught.value)
    assert f"its sha256 is {_sha256(archive)}" in str(caught.value)
    assert f"the published one {RTE.original.sha256['RTE.zip']}" in str(caught.value)
    assert caught.value.hint == "give the RTE.zip of glue, with its RTE/ at the top"


def test_a_zip_without_one_file_names_that_one(rte_folder, tmp_path):
    archive = _zip(tmp_path / "RTE.zip", rte_folder, names=("train", "test"))
    with pytest.raises(CompacterError, match=r"expected RTE/dev\.tsv in it"):
        load_rows(RTE, DataSection(archive=str(archive)))


def test_an_empty_zip_holds_nothing(tmp_path):
    archive = tmp_path / "RTE.zip"
    zipfile.ZipFile(archive, "w").close()
    with pytest.raises(CompacterError, match="it holds nothing"):
        load_rows(RTE, DataSection(archive=str(archive)))


def test_members_that_point_outside_are_never_unpacked(rte_folder, tmp_path, expected):
    more = [("../evil.txt", "x"), ("/evil.txt", "x"), ("RTE/../../evil.txt", "x"), ("other", "x")]
    (tmp_path / "a" / "b").mkdir(parents=True)
    archive = _zip(tmp_path / "a" / "b" / "RTE.zip", rte_folder, more=more)
    assert rows_in_archive(RTE, archive).splits == expected
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive]


def test_a_member_that_unpacks_to_too_much_is_refused(rte_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(original_files, "LARGEST_MEMBER", 1000)
    archive = _zip(tmp_path / "RTE.zip", rte_folder)
    with pytest.raises(CompacterError, match=r"RTE/train\.tsv unpacks to [\d,]+ bytes"):
        load_rows(RTE, DataSection(archive=str(archive)))


def test_members_that_unpack_to_too_much_together_are_refused(rte_folder, tmp_path, monkeypatch):
    archive = _zip(tmp_path / "RTE.zip", rte_folder)
    with zipfile.ZipFile(archive) as zipped:
        train, dev = (zipped.getinfo(f"RTE/{name}.tsv").file_size for name in ("train", "dev"))
    monkeypatch.setattr(original_files, "LARGEST_MEMBER", train + dev - 1)
    with pytest.raises(CompacterError, match=r"RTE/dev\.tsv unpacks to [\d,]+ bytes"):
        load_rows(RTE, DataSection(archive=str(archive)))
    monkeypatch.setattr(original_files, "LARGEST_MEMBER", train + dev)
    load_rows(RTE, DataSection(archive=str(archive)))


@pytest.mark.parametrize("packed", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_bomb_that_says_it_is_small_is_not_unpacked(tmp_path, packed):
    archive, size = tmp_path / "RTE.zip", 70_000_000
    with zipfile.ZipFile(archive, "w", packed) as zipped:
        zipped.writestr("RTE/train.tsv", bytes(size))
        zipped.writestr("RTE/dev.tsv", b"")
    data = archive.read_bytes()
    assert data.count(size.to_bytes(4, "little")) == 2  # before the data, and in the list
    archive.write_bytes(data.replace(size.to_bytes(4, "little"), (1_000).to_bytes(4, "little")))
    tracemalloc.start()
    try:
        with pytest.raises(CompacterError, match="damaged or locked zip"):
            load_rows(RTE, DataSection(archive=str(archive)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 20_000_000


def test_a_name_in_a_zip_is_a_name_and_no_path(rte_folder, tmp_path):
    archive = _zip(tmp_path / "RTE.zip", rte_folder)
    with zipfile.ZipFile(archive, "a") as zipped:
        for name in ("../out.tsv", "/tmp/out.tsv", "RTE/../../out.tsv", "x\n\x1b[31m"):
            zipped.writestr(name, "a")
    load_rows(RTE, DataSection(archive=str(archive)))
    assert list(tmp_path.iterdir()) == [archive]
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as zipped:
        zipped.writestr("a\n\x1b[31m", "a")
    with pytest.raises(CompacterError, match="it holds a") as caught:
        load_rows(RTE, DataSection(archive=str(tmp_path / "other.zip")))
    assert str(caught.value).isprintable()


def test_a_file_that_is_larger_than_any_original_is_refused(rte_folder, monkeypatch):
    monkeypatch.setattr(original_files, "LARGEST_MEMBER", 1000)
    with pytest.raises(CompacterError, match=r"train\.tsv has more than 1,000 bytes"):
        load_rows(RTE, DataSection(folder=str(rte_folder)))


def _first_data_byte(data):
    return 30 + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")


def _no_such_block(data):
    data[_first_data_byte(data)] = 0xFF  # deflate knows no block of type 3


def _other_bytes(data):
    data[_first_data_byte(data) + 5000] ^= 0xFF


def _encrypted(data):
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.find(signature) + offset] |= 1


def _unknown_compression(data):
    for signature, offset in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        data[data.find(signature) + offset] = 97


@pytest.mark.parametrize("damage", [_no_such_block, _other_bytes, _encrypted, _unknown_compression])
def test_a_damaged_or_locked_zip_is_named(rte_folder, tmp_path, damage):
    archive = _zip(tmp_path / "RTE.zip", rte_folder)
    data = bytearray(archive.read_bytes())
    damage(data)
    archive.write_bytes(data)
    with pytest.raises(CompacterError) as caught:
        load_rows(RTE, DataSection(archive=str(archive)))
    assert str(archive) in str(caught.value)


def test_nothing_is_left_behind_beside_the_zip(rte_folder, tmp_path):
    archive = _zip(tmp_path / "RTE.zip", rte_folder)
    load_rows(RTE, DataSection(archive=str(archive)))
    assert [path.name for path in tmp_path.iterdir()] == ["RTE.zip"]

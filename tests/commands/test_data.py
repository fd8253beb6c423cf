"""`compacter data`: what is prepared or there as originals, and preparing by download or copy."""

import json
import shutil

import pytest
from typer.testing import CliRunner

import compacter_cli.tasks
from compacter_cli.commands.console import err, out
from compacter_cli.data import tfds_preparation as preparing
from compacter_cli.data.tfds_directory import receipt_of, rows_in
from compacter_cli.main import app
from compacter_cli.tasks import PUBLISHED

NAMES = [task.name for task in PUBLISHED]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs `compacter data` on a data directory of its own, on a terminal of 100 columns."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(out, "_width", 100)
    monkeypatch.setattr(err, "_width", 100)
    monkeypatch.setattr(preparing, "can_reach", lambda host: False)
    return lambda *given: CliRunner().invoke(app, ["data", *map(str, given)])


@pytest.fixture
def small(monkeypatch, originals):
    """The made-up originals, their numbers of rows taken for the official ones."""
    monkeypatch.setattr(compacter_cli.tasks, "PUBLISHED", tuple(originals.tasks.values()))
    return originals


def _states(result, code=0):
    assert result.exit_code == code, result.output
    return {item["task"]: item["state"] for item in json.loads(result.stdout)}


def _outcomes(result):
    return {item["task"]: item["outcome"] for item in json.loads(result.stdout)}


# status


def test_status_of_nothing_lists_all_tasks_as_missing(run, tmp_path):
    result = run("status")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"in {tmp_path / 'tfds'}:\n")
    lines = result.stdout.splitlines()[2:16]
    assert [line.split() for line in lines] == [[name, "missing"] for name in NAMES]
    assert "next: compacter data prepare --task glue/cola" in result.stdout
    assert not (tmp_path / "tfds").exists()


def test_status_shows_rows_and_where_they_are_from(run, array_record):
    result = run("status", "--task", "glue/rte", "--data-dir", array_record)
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("glue/rte")]
    assert line.split() == ["glue/rte", "prepared", "2,490", "277", "download"]
    assert "next" not in result.stdout


def test_status_as_json(run, array_record):
    (found,) = json.loads(
        run("status", "--task", "glue/rte", "--data-dir", array_record, "--json").stdout
    )
    assert found == {
        "task": "glue/rte",
        "expected": {"train": 2490, "validation": 277},
        "rows": {"train": 2490, "validation": 277, "test": 3000},
        "path": str(array_record / "glue/rte/2.0.0"),
        "from": "download",
        "state": "prepared",
    }


def test_a_benchmark_stands_for_its_tasks(run):
    assert list(_states(run("status", "--task", "glue", "--json"))) == NAMES[:8]
    both = run("status", "--task", "super_glue", "--task", "glue/rte", "--json")
    assert set(_states(both)) == {*NAMES[8:], "glue/rte"}


def test_status_names_wrong_counts(run, tfds_apart):
    states = _states(run("status", "--data-dir", tfds_apart.array_record, "--json"))
    assert "train: expected 2,490 rows, got 2" in states["glue/rte"]
    result = run("prepare", "--task", "glue/rte", "--data-dir", tfds_apart.array_record)
    assert result.exit_code == 1


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_status_of_a_damaged_directory_says_so(run, copied, array_record, content):
    data_dir, directory = copied(array_record)
    (directory / "dataset_info.json").write_text(content, encoding="utf-8")
    states = _states(run("status", "--task", "glue", "--data-dir", data_dir, "--json"))
    assert "dataset_info.json is damaged" in states["glue/rte"]
    assert states["glue/cola"] == "missing"


@pytest.mark.parametrize("command", ["status", "prepare"])
def test_an_unknown_task_exits_2_with_a_suggestion(run, command):
    result = run(command, "--task", "glue/rtee")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert 'no published task "glue/rtee"' in result.stderr
    assert 'did you mean "glue/rte"?' in result.stderr
    assert "known: glue/cola" in run(command, "--task", "zzz").stderr


# status of original files


def test_all_tasks_of_one_folder_are_read_and_checked(run, small, tmp_path):
    result = run("status", "--folder", small.folder, "--json")
    assert _states(result) == dict.fromkeys(small.tasks, "whole")
    for item in json.loads(result.stdout):
        task = small.tasks[item["task"]]
        assert item["rows"] == item["expected"] == task.rows
        assert item["path"] == str(small.folder / task.original.benchmark / task.original.folder)
        assert item["from"] == "folder"
        assert item.get("published") == (False if task.name == "glue/mrpc" else None)
    assert not (tmp_path / "tfds").exists()


def test_tasks_are_read_from_their_zips(run, small):
    given = ("--task", "glue/rte", "--task", "super_glue/wic", "--archives", small.archives)
    result = run("status", *given, "--json")
    assert _states(result) == {"glue/rte": "whole", "super_glue/wic": "whole"}
    for item in json.loads(result.stdout):
        assert item["from"] == "archive"
        assert item["path"].endswith(".zip")
        assert item["published"] is False


def test_a_zip_itself_can_be_named(run, small):
    path = small.archives / "glue" / "RTE.zip"
    result = run("status", "--task", "glue/rte", "--archives", path)
    assert result.exit_code == 0, result.output
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("glue/rte")]
    assert line.split() == ["glue/rte", "whole", "2", "1", "archive"]
    assert "glue/rte: the files are not byte for byte the published ones" in result.stderr
    assert f"next: --set data.archive={path}" in result.stdout


def test_of_a_folder_with_some_tasks_the_others_are_missing(run, small, tmp_path):
    (tmp_path / "some" / "glue").mkdir(parents=True)
    for name in ("RTE", "CoLA"):
        (tmp_path / "some" / "glue" / name).symlink_to(small.folder / "glue" / name)
    states = _states(run("status", "--folder", tmp_path / "some", "--json"))
    there = {"glue/cola": "whole", "glue/rte": "whole"}
    assert states == dict.fromkeys(small.tasks, "missing") | there


@pytest.mark.parametrize("option", ["--folder", "--archives"])
def test_a_place_that_holds_no_originals_exits_3(run, tmp_path, option):
    (tmp_path / "empty").mkdir()
    result = run("status", option, tmp_path / "empty")
    assert result.exit_code == 3
    assert f"{tmp_path / 'empty'} holds the files of no task" in result.stderr
    assert "next:" in result.stderr
    assert result.stdout == ""


def test_mrpc_from_zips_is_refused_in_words(run, small):
    states = _states(run("status", "--archives", small.archives, "--json"))
    assert states["glue/mrpc"] == "glue/mrpc was published as plain files, not as a zip"
    assert set(states.values()) == {"whole", states["glue/mrpc"]}


def test_a_damaged_file_is_named_by_its_line_and_keeps_no_other_task_back(run, small, tmp_path):
    for name in ("RTE", "CoLA"):
        shutil.copytree(small.folder / "glue" / name, tmp_path / "some" / "glue" / name)
    (tmp_path / "some" / "glue" / "CoLA" / "dev.tsv").write_text("gj04\t1\n", encoding="utf-8")
    result = run("status", "--folder", tmp_path / "some")
    assert result.exit_code == 1  # what is there is not whole
    states = [line.split()[:3] for line in result.stdout.splitlines()]
    assert ["glue/cola", "not", "whole"] in states
    assert ["glue/rte", "whole", "2"] in states
    said = f"glue/cola: {tmp_path / 'some'}: CoLA/dev.tsv, line 1: expected 4 columns"
    assert said in result.stdout


def test_a_file_that_a_task_lacks_is_named(run, small, tmp_path):
    shutil.copytree(small.folder / "glue" / "RTE", tmp_path / "some" / "glue" / "RTE")
    (tmp_path / "some" / "glue" / "RTE" / "dev.tsv").unlink()
    states = _states(run("status", "--folder", tmp_path / "some", "--json"), code=1)
    assert "dev.tsv not found" in states["glue/rte"]


@pytest.mark.parametrize("other", ["--archives", "--data-dir"])
def test_two_places_at_once_exit_2(run, tmp_path, other):
    result = run("status", "--folder", tmp_path, other, tmp_path)
    assert result.exit_code == 2
    assert f"expected one place, got --folder and {other}" in result.stderr


def test_the_zip_of_one_task_is_no_place_of_all(run, small):
    result = run("status", "--archives", small.archives / "glue" / "RTE.zip")
    assert result.exit_code == 2
    assert "name the task with --task" in result.stderr


# prepare


@pytest.mark.parametrize(
    ("option", "value"),
    [("--folder", "data.folder={}"), ("--archives", "data.archive={}/glue/RTE.zip")],
)
def test_original_files_are_read_where_they_are(run, tmp_path, option, value):
    result = run("prepare", "--task", "glue/rte", option, tmp_path)
    assert result.exit_code == 2
    assert result.stdout == ""
    error, hint = result.stderr.splitlines()
    assert error == f"error: {option}: original files are read where they are, and not prepared"
    assert f"--set {value.format(tmp_path)}" in hint
    assert f"compacter data status {option} {tmp_path}" in hint


def test_the_former_sources_are_in_no_help(run):
    assert "--folder" not in run("prepare", "--help").stdout


def test_all_tasks_are_copied_from_one_directory(run, small, tfds_apart, tmp_path):
    result = run("prepare", "--prepared", tfds_apart.array_record, "--json")
    assert result.exit_code == 0, result.output
    assert _outcomes(result) == dict.fromkeys(small.tasks, "prepared")
    for name, task in small.tasks.items():
        directory = tmp_path / "tfds" / task.original.tfds.replace(":", "/")
        assert rows_in(task, directory).splits == small.rows[name]
    assert set(_states(run("status", "--json")).values()) == {"prepared"}


def test_a_source_that_holds_nothing_exits_3(run, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("prepare", "--prepared", tmp_path / "empty")
    assert result.exit_code == 3
    assert f"{tmp_path / 'empty'} holds the files of no task" in result.stderr
    assert "next:" in result.stderr
    assert result.stdout == ""


def test_a_task_is_downloaded(run, fetched, tmp_path):
    result = run("prepare", "--task", "glue/rte")
    assert result.exit_code == 0, result.output
    assert "preparing glue/rte" in result.stderr
    assert result.stdout.splitlines()[1].split() == [
        *("glue/rte", "prepared", "2,490", "train,", "277", "validation,", "3,000", "test")
    ]
    assert "next: compacter data status" in result.stdout
    assert receipt_of(tmp_path / "tfds" / "glue/rte/2.0.0")["way"] == "download"


def test_a_prepared_directory_is_copied(run, array_record, tmp_path):
    result = run("prepare", "--prepared", array_record, "--json")
    assert result.exit_code == 0, result.output
    assert _outcomes(result) == {"glue/rte": "prepared"}
    assert (tmp_path / "tfds" / "glue" / "rte" / "2.0.0" / "features.json").is_file()


@pytest.mark.slow
def test_a_tfrecord_directory_is_copied(run, tfrecord):
    result = run("prepare", "--task", "glue/rte", "--prepared", tfrecord, "--json")
    assert result.exit_code == 0, result.output
    assert _outcomes(result) == {"glue/rte": "prepared"}
    assert _states(run("status", "--task", "glue/rte", "--json")) == {"glue/rte": "prepared"}


def test_a_task_that_is_not_prepared_there_exits_3_and_names_its_place(run, tmp_path):
    result = run("prepare", "--task", "glue/cola", "--prepared", tmp_path)
    assert result.exit_code == 3
    assert str(tmp_path / "glue/cola/2.0.0") in result.stderr


def test_a_named_task_that_the_source_lacks_exits_3_and_keeps_no_other_back(run, array_record):
    given = ("--task", "glue/cola", "--task", "glue/rte", "--prepared", array_record)
    result = run("prepare", *given, "--json")
    assert result.exit_code == 3
    assert _outcomes(result) == {"glue/cola": "failed", "glue/rte": "prepared"}
    assert "glue/cola is not prepared in" in result.stderr


def test_what_is_prepared_already_says_so(run, array_record):
    given = ("prepare", "--task", "glue/rte", "--prepared", array_record)
    assert "was prepared already" not in run(*given).stdout
    assert "was prepared already" in run(*given).stdout
    again = run("prepare", "--task", "glue/rte", "--offline", "--json")
    assert _outcomes(again) == {"glue/rte": "was prepared already"}
    assert again.exit_code == 0


def test_files_that_an_earlier_version_found_not_to_be_the_published_are_noted(
    run, copied, array_record
):
    data_dir, directory = copied(array_record)
    receipt = {**receipt_of(directory), "way": "archive", "published": False}
    (directory / "compacter.json").write_text(json.dumps(receipt), encoding="utf-8")
    result = run("prepare", "--task", "glue/rte", "--data-dir", data_dir)
    assert result.exit_code == 0
    assert "glue/rte: the files are not byte for byte the published ones" in result.stderr


def test_the_directory_of_one_task_is_no_source_of_all(run, array_record):
    result = run("prepare", "--prepared", array_record / "glue/rte/2.0.0")
    assert result.exit_code == 2
    assert "name the task with --task" in result.stderr


@pytest.mark.parametrize(("option", "why"), [(["--offline"], "--offline"), ([], "reached")])
def test_without_network_a_download_exits_3_and_writes_nothing(run, tmp_path, option, why):
    result = run("prepare", "--task", "glue/rte", *option, "--json")
    assert result.exit_code == 3
    assert _outcomes(result) == {"glue/rte": "failed"}
    assert "glue/rte is not prepared in" in result.stderr
    assert why in result.stderr
    assert "--folder" in result.stderr
    assert not (tmp_path / "tfds").exists()


def test_a_damaged_directory_exits_1_and_keeps_no_other_task_back(run, small, tfds_apart, tmp_path):
    shutil.copytree(tfds_apart.array_record, tmp_path / "copy")
    (shard,) = (tmp_path / "copy" / "glue" / "cola" / "2.0.0").glob("glue-validation.*")
    shard.write_bytes(shard.read_bytes()[:50])
    given = ("--task", "glue/cola", "--task", "glue/rte", "--prepared", tmp_path / "copy")
    result = run("prepare", *given, "--json")
    assert result.exit_code == 1
    assert _outcomes(result) == {"glue/cola": "failed", "glue/rte": "prepared"}
    assert "cannot read the prepared data" in result.stderr


def test_a_data_directory_that_cannot_be_written_exits_1(run, array_record, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    given = ("--task", "glue/rte", "--prepared", array_record, "--data-dir", tmp_path / "file")
    result = run("prepare", *given)
    assert result.exit_code == 1
    assert "cannot prepare glue/rte in" in result.stderr
    assert "--data-dir" in result.stderr

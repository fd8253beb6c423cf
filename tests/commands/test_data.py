"""`compacter data`: what is prepared, and preparing it from a folder, zips or a copy."""

import json

import pytest
from typer.testing import CliRunner

from compacter_cli.commands import data
from compacter_cli.commands.console import err, out
from compacter_cli.data import sources
from compacter_cli.data.tfds_directory import rows_in
from compacter_cli.main import app
from compacter_cli.tasks import PUBLISHED

pytestmark = pytest.mark.usefixtures("tensorflow_apart")
NAMES = [task.name for task in PUBLISHED]


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs `compacter data` on a data directory of its own, on a terminal of 100 columns."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(out, "_width", 100)
    monkeypatch.setattr(err, "_width", 100)
    monkeypatch.setattr(sources, "can_reach", lambda host: False)
    return lambda *given: CliRunner().invoke(app, ["data", *map(str, given)])


@pytest.fixture
def small(monkeypatch, originals):
    """The made-up originals, their numbers of rows taken for the official ones."""
    monkeypatch.setattr(data, "PUBLISHED", tuple(originals.tasks.values()))
    return originals


def _states(result):
    assert result.exit_code == 0, result.output
    return {item["task"]: item["state"] for item in json.loads(result.stdout)}


def _outcomes(result):
    return {item["task"]: item["outcome"] for item in json.loads(result.stdout)}


# status


def test_status_of_nothing_lists_all_tasks_as_missing(run, tmp_path):
    result = run("status")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"in {tmp_path / 'tfds'}:\n")
    lines = result.stdout.splitlines()[2:16]
    assert [line.split() for line in lines] == [[name, "missing", "-", "-", "-"] for name in NAMES]
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


def test_status_names_wrong_counts(run, originals, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(data, "PUBLISHED", tuple(originals.tasks.values()))
        run("prepare", "--task", "glue/rte", "--folder", originals.folder)
    states = _states(run("status", "--json"))
    said = "train: expected 2,490 rows, got 2"
    assert said in states["glue/rte"]
    assert states["glue/cola"] == "missing"
    assert run("prepare", "--task", "glue/rte").exit_code == 1


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


# prepare


def test_all_tasks_are_prepared_from_one_folder(run, small, tmp_path):
    result = run("prepare", "--folder", small.folder, "--json")
    assert result.exit_code == 0, result.output
    assert _outcomes(result) == dict.fromkeys(small.tasks, "prepared")
    for name, task in small.tasks.items():
        directory = tmp_path / "tfds" / task.original.tfds.replace(":", "/")
        assert rows_in(task, directory)[0] == small.rows[name]
    assert set(_states(run("status", "--json")).values()) == {"prepared"}


def test_of_a_folder_with_some_tasks_only_those_are_prepared(run, small, tmp_path):
    (tmp_path / "some" / "glue").mkdir(parents=True)
    for name in ("RTE", "CoLA"):
        (tmp_path / "some" / "glue" / name).symlink_to(small.folder / "glue" / name)
    result = run("prepare", "--folder", tmp_path / "some", "--json")
    assert result.exit_code == 0, result.output
    assert _outcomes(result) == {"glue/cola": "prepared", "glue/rte": "prepared"}


def test_a_named_task_that_the_folder_lacks_exits_3_and_keeps_no_other_back(run, small, tmp_path):
    (tmp_path / "some" / "glue").mkdir(parents=True)
    (tmp_path / "some" / "glue" / "RTE").symlink_to(small.folder / "glue" / "RTE")
    given = ("--task", "glue/cola", "--task", "glue/rte", "--folder", tmp_path / "some")
    result = run("prepare", *given, "--json")
    assert result.exit_code == 3
    assert _outcomes(result) == {"glue/cola": "failed", "glue/rte": "prepared"}
    assert "CoLA/train.tsv" in result.stderr


@pytest.mark.parametrize("source", ["--folder", "--archives", "--prepared"])
def test_a_source_that_holds_nothing_exits_3(run, tmp_path, source):
    (tmp_path / "empty").mkdir()
    result = run("prepare", source, tmp_path / "empty")
    assert result.exit_code == 3
    assert f"{tmp_path / 'empty'} holds the files of no task" in result.stderr
    assert "next:" in result.stderr
    assert result.stdout == ""


def test_tasks_are_prepared_from_their_zips(run, small, tmp_path):
    given = ("--task", "glue/rte", "--task", "super_glue/wic", "--archives", small.archives)
    result = run("prepare", *given, "--json")
    assert result.exit_code == 0, result.output
    for item in json.loads(result.stdout):
        assert item["outcome"] == "prepared"
        assert item["receipt"]["way"] == "archive"
        assert item["receipt"]["published"] is False
    assert "glue/rte: the files are not byte for byte the published ones" in result.stderr


def test_a_zip_itself_can_be_named(run, small):
    path = small.archives / "glue" / "RTE.zip"
    result = run("prepare", "--task", "glue/rte", "--archives", path)
    assert result.exit_code == 0, result.output
    assert "preparing glue/rte" in result.stderr
    assert result.stdout.splitlines()[1].split() == [
        *("glue/rte", "prepared", "2", "train,", "1", "validation,", "1", "test")
    ]
    assert "next: compacter data status" in result.stdout


def test_mrpc_from_zips_is_refused_in_words(run, small):
    result = run("prepare", "--task", "glue/mrpc", "--archives", small.archives)
    assert result.exit_code == 3
    assert "glue/mrpc was published as plain files, not as a zip" in result.stderr
    assert "msr_paraphrase_train.txt" in result.stderr


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


def test_what_is_prepared_already_says_so(run, small):
    given = ("prepare", "--task", "glue/rte", "--folder", small.folder)
    assert "was prepared already" not in run(*given).stdout
    assert "was prepared already" in run(*given).stdout
    again = run("prepare", "--task", "glue/rte", "--offline", "--json")
    assert _outcomes(again) == {"glue/rte": "was prepared already"}
    assert again.exit_code == 0


def test_two_sources_at_once_exit_2(run, tmp_path):
    result = run("prepare", "--folder", tmp_path, "--archives", tmp_path)
    assert result.exit_code == 2
    assert "expected one source, got --folder and --archives" in result.stderr


@pytest.mark.parametrize(("option", "why"), [(["--offline"], "--offline"), ([], "reached")])
def test_without_network_a_download_exits_3_and_writes_nothing(run, tmp_path, option, why):
    result = run("prepare", "--task", "glue/rte", *option, "--json")
    assert result.exit_code == 3
    assert _outcomes(result) == {"glue/rte": "failed"}
    assert "glue/rte is not prepared in" in result.stderr
    assert why in result.stderr
    assert "--folder" in result.stderr
    assert not (tmp_path / "tfds").exists()


def test_a_damaged_file_exits_1_and_keeps_no_other_task_back(run, small, tmp_path):
    for name in ("RTE", "CoLA"):
        place = tmp_path / "some" / "glue" / name
        place.mkdir(parents=True)
        for path in (small.folder / "glue" / name).iterdir():
            (place / path.name).write_bytes(path.read_bytes())
    (tmp_path / "some" / "glue" / "CoLA" / "dev.tsv").write_text("gj04\t1\n", encoding="utf-8")
    result = run("prepare", "--folder", tmp_path / "some", "--json")
    assert result.exit_code == 1
    assert _outcomes(result) == {"glue/cola": "failed", "glue/rte": "prepared"}
    assert "CoLA/dev.tsv, line 1: expected 4 columns" in result.stderr


def test_a_data_directory_that_cannot_be_written_exits_1(run, small, tmp_path):
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    given = ("--task", "glue/rte", "--folder", small.folder, "--data-dir", tmp_path / "file")
    result = run("prepare", *given)
    assert result.exit_code == 1
    assert "cannot prepare glue/rte in" in result.stderr
    assert "--data-dir" in result.stderr

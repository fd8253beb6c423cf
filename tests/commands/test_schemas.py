"""What machines read is as its published schema says, and the schemas are those of the program."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from compacter_cli.commands.schemas import SCHEMAS, schema
from compacter_cli.commands.serve import Answering
from compacter_cli.files import json_text
from compacter_cli.main import app
from compacter_cli.training.run_directory import read_result

DOCS = Path(__file__).parents[2] / "docs"
FIXTURES = Path(__file__).parents[1] / "fixtures"


def closed(part):
    """A schema that refuses what it does not describe, which the published one lets be."""
    if isinstance(part, list):
        return [closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    inside = {key: closed(value) for key, value in part.items()}
    return {"additionalProperties": False, **inside} if "properties" in part else inside


def check(name, value):
    jsonschema.Draft202012Validator(closed(schema(name))).validate(value)


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def printed(*args, exit_code=0):
    result = CliRunner().invoke(app, [*map(str, args), "--json"])
    assert result.exit_code == exit_code, result.stderr
    return json.loads(result.stdout if exit_code == 0 else result.stderr.splitlines()[-1])


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_that_of_the_program(kept, name):
    made = schema(name)
    jsonschema.Draft202012Validator.check_schema(made)
    kept(DOCS / "schemas" / f"{name}.json", json_text(made))


def test_every_schema_has_a_line_in_the_docs_and_no_file_is_left_over():
    page = (DOCS / "schemas.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[([\w-]+)\]\(schemas/\1\.json\) \| (\d+) \| (.*) \|$", page, re.M)
    assert rows == [
        (name, str(published.version), published.where) for name, published in SCHEMAS.items()
    ]
    assert {path.stem for path in (DOCS / "schemas").glob("*")} == set(SCHEMAS)


def test_what_a_run_leaves(smoke_run):
    check("result", read_result(smoke_run))
    check("environment", json.loads((smoke_run / "environment.json").read_text()))
    check("manifest", json.loads((smoke_run / "best" / "adapter.json").read_text()))
    metrics = lines(smoke_run / "metrics.jsonl")
    assert {line["kind"] for line in metrics} == {"update", "epoch"}
    for line in metrics:
        check("metrics", line)
    header, *rows = lines(smoke_run / "predictions.jsonl")
    check("predictions-header", header)
    for row in rows:
        check("predictions", row)


def test_what_is_written_carries_its_format_and_version(smoke_run):
    for name in ("result.json", "environment.json", "best/adapter.json"):
        found = json.loads((smoke_run / name).read_text())
        assert found["format"].startswith("compacter-")
        assert found["version"] == 1
    assert lines(smoke_run / "predictions.jsonl")[0]["version"] == 1


def test_what_earlier_versions_wrote_is_described_too():
    run = FIXTURES / "run"
    check("result", json.loads((run / "result.json").read_text()))
    check("environment", json.loads((run / "environment.json").read_text()))
    for line in lines(run / "metrics.jsonl"):
        check("metrics", line)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("plan", ["train", "--recipe", "demo/smoke_compacterpp", "--dry-run", "--no-estimate"]),
        ("recipe", ["validate", "--recipe", "glue/rte_lora"]),
        ("recipe", ["validate", "--recipe", "demo/smoke_compacterpp"]),
        ("pretraining-recipe", ["validate", "--recipe", "demo/pretrain"]),
        ("counts", ["count-params"]),
        ("counts", ["count-params", "--backbone", "t5_small_multi"]),
        ("recipes", ["recipes", "list"]),
        ("sweep-plan", ["sweep", "table1", "--dry-run", "--no-estimate"]),
    ],
)
def test_what_light_commands_print(monkeypatch, tmp_path, name, args):
    monkeypatch.chdir(tmp_path)
    check(name, printed(*args))


def test_what_is_printed_of_data(monkeypatch, tmp_path, array_record):
    found = printed("data", "status", "--data-dir", array_record)
    assert {item["state"] for item in found} == {"prepared", "missing"}
    check("data-status", found)
    copy = ["data", "prepare", "--task", "glue/rte", "--prepared", array_record]
    check("data-prepared", printed(*copy, "--data-dir", tmp_path))


def test_what_is_printed_of_a_run(smoke_run, tmp_path):
    check("evaluation", printed("evaluate", "--run", smoke_run))
    check("answers", printed("predict", "--run", smoke_run, "--text", "smoke item: a b"))
    check("answers", printed("predict", "--run", smoke_run, "--split", "validation"))
    check("report", printed("report", smoke_run))
    check("table", printed("report", smoke_run, "--table", "scores"))


@pytest.mark.slow
def test_what_slow_commands_print(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny = ["--backbone", "random/tiny", "--source", 8, "--steps", 1]
    check("profile", printed("profile", *tiny, "--method", "full,lora"))
    recipe = ["--recipe", "demo/smoke_compacterpp", "--seeds", "1"]
    found = printed("sweep", *recipe, "--set", "train.epochs=1", "--output", "swept")
    assert found["states"]["finished"] == 1
    check("sweep", found)
    for line in lines(Path("swept/index.jsonl")):
        check("sweep-index", line)
    check("report", printed("report", "swept"))
    check("conversion", printed("convert", "demo/t5", "hf"))


def test_what_a_pretraining_leaves():
    check("pretraining", json.loads((FIXTURES / "pretrained" / "pretraining.json").read_text()))
    for line in lines(FIXTURES / "pretrained" / "metrics.jsonl"):
        check("pretraining-metrics", line)


def test_what_the_demo_tells(smoke_run):
    result = read_result(smoke_run)
    answer = {"text": "a", "answer": "yes", "right": None}
    check("demo", {"compacterpp": result, "full": result, "answers": [answer]})


def test_an_error_of_any_kind():
    recipe = ["validate", "--recipe", "demo/smoke_compacterpp", "--set", "train.epoch=1"]
    check("error", printed(*recipe, exit_code=2))
    check("error", printed("train", exit_code=2))


def test_what_serve_says_once_it_answers():
    check("answering", Answering(address="http://127.0.0.1:8000", adapters=["rte"]))


@pytest.mark.parametrize("name", ["result", "plan", "error"])
def test_a_schema_refuses_what_is_not_so(name):
    with pytest.raises(jsonschema.ValidationError):
        check(name, {})

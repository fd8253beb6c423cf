"""What a dry run shows: examples, places, time and memory, and what may surprise."""

import json

import pytest
import tomli_w
from typer.testing import CliRunner

from compacter_cli.commands.plan import plan, plan_lines
from compacter_cli.main import app
from compacter_cli.methods import METHODS
from compacter_cli.profiling import forecast as forecasting
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.shapes import PRESETS

COST = {
    "step_ms": 50.0, "weight_bytes": 10**6, "peak_bytes": 3 * 10**6, "frameworks_bytes": 4 * 10**8,
    "device_name": "cpu",
}  # fmt: skip
BASE = PRESETS["t5_base_multi"]


@pytest.fixture
def recipe(tmp_path):
    """A recipe of a CSV file of twenty rows, of which two read alike and one is empty."""
    words = ["iron", "zinc", "apple", "mango", "tin", "", "copper", "nickel", "silver", "cobalt"]
    words += [f"{word} iron" for word in words]
    rows = [f"{word},{int(number < 2)}" for number, word in enumerate(words)]
    (tmp_path / "rows.csv").write_text("\n".join(["words,kind", *rows]) + "\n")
    tables = {
        "task": "csv",
        "backbone": {"preset": "random/tiny"},
        "method": {"name": "compacterpp"},
        "data": {
            "train": str(tmp_path / "rows.csv"),
            "source": "sentence: {words}",
            "target": "{kind}",
            "labels": ["0", "1"],
        },
        "train": {"epochs": 15, "batch_size": 3, "warmup_steps": 80},
    }
    path = tmp_path / "mine.toml"
    path.write_text(tomli_w.dumps(tables))
    return str(path)


def test_a_plan_shows_examples_and_what_may_surprise(recipe, tmp_path):
    found = plan(recipe=load_recipe(recipe), directory=tmp_path / "run")
    assert [one["source"] for one in found["examples"]] == [
        "sentence: iron", "sentence: zinc", "sentence: apple",
    ]  # fmt: skip
    assert [one["target"] for one in found["examples"]] == ["1", "1", "0"]
    assert all(one["source_tokens"] > 1 for one in found["examples"])
    assert found["labels"] == {"0": 18, "1": 2}
    notes = "\n".join(found["notes"])
    for said in (
        "warm-up is 89 % of 90 updates",  # 18 rows by three, 15 times
        '90 % of the training rows are "0"',
        "1 of 20 training sources repeated, which may be divided between the splits: "
        "--set 'data.group={words}' keeps equal ones on one side",
        "1 row of train with an empty text",
        "validation has 1 row: ",  # of the two that are held out
    ):
        assert said in notes
    lines = "\n".join(plan_lines(found))
    assert "labels   of 20 rows of the training file: 0 18 (90 %), 1 2 (10 %)" in lines
    assert "sits     4 adapters behind feed-forward, in blocks 0 to 1 of encoder" in lines
    assert f"note: {found['notes'][0]}" in lines


def test_time_and_memory_say_what_they_are_from(recipe, tmp_path, monkeypatch):
    machine = {"device": "cpu", "device_name": "cpu", "threads": 1, "torch": "x",
               "free_bytes": 10**12}  # fmt: skip
    monkeypatch.setattr(forecasting, "machine_of", lambda *_: machine)
    monkeypatch.setattr(forecasting, "kept_cost", lambda *_: COST)
    found = plan(recipe=load_recipe(recipe), directory=tmp_path / "run", measure=True)
    assert found["forecast"]["seconds"] == pytest.approx(90 * 0.05)
    lines = "\n".join(plan_lines(found))
    assert "about 4 s of training steps, scoring not counted, and 3.00 MB" in lines
    assert "beside the 400.00 MB that torch and keras take" in lines
    assert "by 2 steps of 3 sources of 16 tokens on random weights, on cpu" in lines


def test_a_column_is_told_before_anything_is_trained(recipe):
    arguments = ["train", "--recipe", recipe, "--dry-run", "--no-estimate"]
    result = CliRunner().invoke(app, [*arguments, "--set", "data.source={word}"])
    assert result.exit_code == 1
    assert 'no column "word", which data.source names; it has words, kind' in result.stderr
    assert 'did you mean "words"?' in result.stderr


def test_the_json_of_a_plan_is_the_plan(recipe, tmp_path):
    arguments = ["train", "--recipe", recipe, "--dry-run", "--no-estimate", "--json"]
    result = CliRunner().invoke(app, [*arguments, "--output", str(tmp_path / "run")])
    found = plan(recipe=load_recipe(recipe), directory=tmp_path / "run")
    assert json.loads(result.stdout) == found


@pytest.mark.parametrize(
    ("method", "places"),
    [
        ("compacter",
         "48 adapters behind self-attention and feed-forward, in blocks 0 to 11 of encoder and "
         "decoder"),
        ("adapterdrop",
         "28 adapters behind self-attention and feed-forward, in blocks 5 to 11 of encoder and "
         "decoder"),
        ("prompt_r", "100 vectors before the first token of every source"),
        ("lora", "72 matrices beside the weights of query, value, in all blocks"),
        ("full", ""),
    ],
)  # fmt: skip
def test_where_a_method_sits_is_said(method, places):
    said = METHODS[method]().places(BASE)
    assert said == places

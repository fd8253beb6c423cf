"""`compacter validate`: a recipe with nothing left to defaults, or all its problems."""

import json
import tomllib

import pytest
from typer.testing import CliRunner

from compacter_cli.commands.console import err
from compacter_cli.commands.validate import validate
from compacter_cli.errors import RecipeError
from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe

NAME = "demo/smoke_compacterpp"


@pytest.fixture
def run(monkeypatch):
    """Runs `compacter validate` on a terminal of 80 columns; errors get all the room."""
    monkeypatch.setattr(err, "_width", 300)
    return lambda *arguments: CliRunner().invoke(app, ["validate", *arguments])


def _printed_recipe(result):
    """The recipe that was printed before the verdict."""
    text, verdict = result.stdout, result.stderr.removeprefix("valid: ")
    assert verdict.strip()
    return text


def test_every_default_is_filled_in(run):
    result = run("--recipe", NAME)
    assert result.exit_code == 0
    tables = tomllib.loads(_printed_recipe(result))
    assert tables["train"] == {
        "epochs": 10,
        "batch_size": 20,
        "accumulate": 1,
        "eval_batch_size": 100,
        "learning_rate": 0.01,
        "warmup_steps": 30,
        "clip_norm": 1.0,
        "dropout": 0.0,
        "score_before": False,
        "execution": "auto",
        "remat": False,
        "not_finite": "stop",
        "save_minutes": 15.0,
    }
    assert tables["method"]["activation"] == "gelu_tanh"
    assert tables["output"] == {"root": "runs", "without_metrics": "continue", "watch": []}


def test_what_is_printed_is_a_recipe_that_loads_to_the_same(run, tmp_path):
    result = run("--recipe", "glue/rte_compacter", "--set", "method.n=8")
    path = tmp_path / "printed.toml"
    path.write_text(_printed_recipe(result), encoding="utf-8")
    assert load_recipe(str(path)) == load_recipe("glue/rte_compacter", ["method.n=8"])


def test_a_long_path_is_not_broken(run, tmp_path):
    folder = tmp_path / ("a long name " * 12).strip() / ("x" * 100)
    result = run("--recipe", NAME, "--set", f"data.folder={folder}")
    assert tomllib.loads(_printed_recipe(result))["data"]["folder"] == str(folder)


def test_json_is_the_whole_of_stdout_and_what_python_returns(run):
    result = run("--recipe", NAME, "--set", "train.epochs=3", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == validate(recipe=NAME, overrides=["train.epochs=3"])
    assert json.loads(result.stdout)["train"]["epochs"] == 3


def test_what_has_no_value_is_left_out():
    assert "folder" not in validate(recipe=NAME)["data"]


def test_the_verdict_names_the_recipe(run):
    assert run("-r", NAME).stderr.splitlines()[-1] == f"valid: {NAME}"


def test_set_is_repeatable_and_wins(run):
    result = run("-r", NAME, "--set", "train.epochs=3", "--set", "seed=7", "--json")
    found = json.loads(result.stdout)
    assert (found["train"]["epochs"], found["seed"]) == (3, 7)


def test_a_recipe_of_pretraining_is_checked_as_one(run):
    result = run("--recipe", "demo/pretrain", "--set", "train.steps=7")
    assert result.exit_code == 0
    tables = tomllib.loads(_printed_recipe(result))
    assert tables["train"]["steps"] == 7
    assert tables["corruption"] == {"noise_density": 0.2, "mean_span_length": 2.5}
    result = run("--recipe", "demo/pretrain", "--set", "train.epochs=7")
    assert result.exit_code == 2
    assert "unknown key of [train]" in result.stderr


def test_every_problem_is_shown_on_stderr_and_the_exit_code_is_2(run):
    result = run("-r", NAME, "--set", "train.epoch=3", "--set", "method.n=5", "--set", "seed=true")
    assert result.exit_code == 2
    assert result.stdout == ""
    lines = [line.split("  ")[0].strip() for line in result.stderr.splitlines()]
    assert {"train.epoch", "seed", "method.n", "method.bottleneck"} <= set(lines)
    assert "4 problems" in result.stderr
    assert 'did you mean "epochs"?' in result.stderr


def test_problems_fit_a_narrow_terminal(run, monkeypatch):
    monkeypatch.setattr(err, "_width", 80)
    result = run("-r", NAME, "--set", "train.epoch=3", "--set", "method.n=5")
    assert max(map(len, result.stderr.splitlines())) <= 80
    assert "…" not in result.stderr


def test_no_such_recipe_names_the_nearest(run):
    result = run("--recipe", "glue/rte_compacterp")
    assert result.exit_code == 2
    assert "glue/rte_compacterpp" in result.stderr


def test_a_set_without_equals_sign_exits_2(run):
    result = run("-r", NAME, "--set", "train.epochs")
    assert result.exit_code == 2
    assert "section.key=value" in result.stderr


def test_a_preset_that_is_not_there_exits_3(run, tmp_path):
    result = run("-r", NAME, "--set", f"backbone.preset={tmp_path / 'nowhere'}")
    assert result.exit_code == 3
    assert "nowhere" in result.stderr


def test_the_recipe_option_is_needed(run):
    result = run()
    assert result.exit_code == 2
    assert "--recipe" in result.stderr


def test_python_gets_the_error_itself():
    with pytest.raises(RecipeError):
        validate(recipe=NAME, overrides=["train.epochs=0"])

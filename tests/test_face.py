"""The public face: what `from compacter_cli import ...` gives a Python user."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import compacter_cli
from compacter_cli import (
    CompacterError,
    Predictor,
    Recipe,
    UsageError,
    evaluate,
    load_backbone,
    load_recipe,
    train,
)

TOLD = """
import json, sys
before = set(sys.modules)
import compacter_cli
names = dir(compacter_cli)
print(json.dumps([sorted(set(sys.modules) - before), names]))
"""


def test_importing_it_imports_nothing_else():
    done = subprocess.run([sys.executable, "-c", TOLD], capture_output=True, text=True, check=True)
    imported, names = json.loads(done.stdout)
    assert [name for name in imported if name.startswith("compacter")] == ["compacter_cli"]
    assert not {"pydantic", "numpy", "torch", "keras", "tensorflow"} & set(imported)
    assert set(compacter_cli.__all__) <= set(names)


@pytest.mark.parametrize("name", compacter_cli.__all__)
def test_every_public_name_is_there_and_is_the_room_s_own(keras, name):
    found = getattr(compacter_cli, name)
    assert getattr(found, "__name__", name) == name
    assert vars(compacter_cli)[name] is found  # asked for once


def test_a_name_that_is_not_public_is_no_attribute():
    with pytest.raises(AttributeError, match="module 'compacter_cli' has no attribute 'fit'"):
        compacter_cli.fit  # noqa: B018


def test_type_checkers_are_told_the_places_that_are_imported_from():
    tree = ast.parse(Path(compacter_cli.__file__).read_text(encoding="utf-8"))
    told = {
        node.module.removeprefix("compacter_cli."): tuple(sorted(a.name for a in node.names))
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("compacter_cli.")
    }
    assert told == {module: tuple(sorted(n)) for module, n in compacter_cli._MODULES.items()}
    assert sorted(name for names in told.values() for name in names) == sorted(
        compacter_cli.__all__
    )


def test_a_recipe_is_trained_scored_and_asked_in_python(tmp_path):
    result = train(
        "demo/smoke_compacterpp",
        {"train.epochs": 1, "train.warmup_steps": 2},
        output=tmp_path / "run",
        device="cpu",
    )
    assert result["run"] == str(tmp_path / "run")
    assert "finished: test accuracy" in (tmp_path / "run" / "log.txt").read_text()
    scored = evaluate(result["run"], device="cpu")
    assert scored["metrics"] == result["test"]["metrics"]
    alone = evaluate(tmp_path / "run" / "last", split="validation", device="cpu")
    assert alone["metrics"] == result["validation"]["metrics"]
    with pytest.raises(UsageError, match='no split "tset"') as caught:
        evaluate(result["run"], split="tset", device="cpu")
    assert caught.value.hint == 'did you mean "test"?'
    predictor = Predictor(load_backbone(Path(result["preset"])), result["run"])
    texts = ["sentence: zinc iron copper", "sentence: zinc apple iron"]
    (first, second) = predictor.probabilities(texts)
    assert first.keys() == {"metals only", "a fruit"}
    assert first != second


def test_a_recipe_may_be_tables_a_path_or_one_that_is_loaded(tmp_path):
    tables = {
        "task": "demo/smoke",
        "backbone": {"preset": "random/tiny"},
        "method": {"name": "lora"},
        "output": {"root": tmp_path},
    }
    recipe = load_recipe(tables, {"train.epochs": 3})
    assert (recipe.train.epochs, recipe.method.name) == (3, "lora")
    assert recipe.output.root == str(tmp_path)
    assert "train" not in tables
    assert load_recipe(recipe, ["train.epochs=4"]).train.epochs == 4
    (tmp_path / "mine.toml").write_text(recipe.toml(), encoding="utf-8")
    assert load_recipe(tmp_path / "mine.toml") == recipe
    assert isinstance(recipe, Recipe)


def test_what_is_wrong_with_a_recipe_is_said_before_anything_is_trained(tmp_path):
    with pytest.raises(UsageError, match=r"train\.epoch: ") as caught:
        train("demo/smoke_compacterpp", {"train.epoch": 3}, output=tmp_path / "run")
    assert isinstance(caught.value, CompacterError)
    with pytest.raises(UsageError, match="got one text") as caught:
        train("demo/smoke_compacterpp", "train.epochs=3", output=tmp_path / "run")
    assert caught.value.hint == 'such as {"train.epochs": 3}'
    assert not (tmp_path / "run").exists()

"""`compacter recipes`: list, show, copy; a copy never overwrites."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compacter_cli.commands.console import err
from compacter_cli.commands.recipes import copy_recipe, list_recipes
from compacter_cli.errors import UsageError
from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.shipped import shipped_recipes

NAME = "glue/rte_compacterpp"
FILE = Path(__file__).parents[2] / "recipes" / f"{NAME}.toml"


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs `compacter recipes` in an empty folder, on a terminal of 80 columns."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(err, "_width", 80)
    return lambda *arguments: CliRunner().invoke(app, ["recipes", *arguments])


# list


def test_list_shows_every_recipe_with_the_papers_score(run):
    result = run("list")
    assert result.exit_code == 0
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines()[1:]}
    assert set(rows) == set(shipped_recipes())
    assert rows[NAME] == [NAME, "accuracy", "74.82"]
    assert rows["glue/rte_compacter"][-1] == "77.70"
    assert rows["demo/smoke_compacterpp"] == ["demo/smoke_compacterpp", "accuracy", "-"]
    assert rows["demo/pretrain"] == ["demo/pretrain", "validation", "loss", "-"]
    assert rows["super_glue/cb_phm"][1:] == ["accuracy", "/", "macro_f1", "85.71", "/", "73.52"]


def test_list_fits_80_columns(run):
    lines = run("list").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_list_narrows_by_part_of_the_task_and_by_method():
    assert [item["recipe"] for item in list_recipes(tasks=["smoke"])] == ["demo/smoke_compacterpp"]
    assert {item["task"] for item in list_recipes(tasks=["rte"])} == {"glue/rte"}
    found = list_recipes(methods=["compacterpp"])
    assert {item["method"] for item in found} == {"compacterpp"}  # and not compacter's
    assert {"demo/smoke_compacterpp", NAME} <= {item["recipe"] for item in found}
    both = list_recipes(tasks=["glue/rte"], methods=["compacterpp"])
    assert [item["recipe"] for item in both] == [NAME]


def test_list_options_reach_the_function(run):
    found = json.loads(run("list", "--task", "rte", "--method", "compacter", "--json").stdout)
    assert found == [
        {
            "recipe": "glue/rte_compacter",
            "task": "glue/rte",
            "method": "compacter",
            "preset": "t5_base_multi",
            "metrics": ["accuracy"],
            "paper": [77.7],
        }
    ]


def test_a_pretraining_is_listed_as_one_and_is_of_no_method():
    (item,) = list_recipes(tasks=["pretrain"])
    assert item == {
        "recipe": "demo/pretrain",
        "task": "pretraining",
        "method": None,
        "preset": None,
        "metrics": ["validation loss"],
        "paper": None,
    }
    assert item not in list_recipes(methods=["full"])


def test_a_list_of_nothing_exits_2(run):
    result = run("list", "--task", "zzz")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "compacter recipes list" in result.stderr


def test_a_method_that_there_is_not_exits_2_with_a_suggestion(run):
    result = run("list", "--method", "compactor")
    assert result.exit_code == 2
    assert 'did you mean "compacter"?' in result.stderr


# show


@pytest.mark.parametrize("name", [NAME, f"{NAME}.toml"])
def test_show_prints_the_file_as_it_is(run, name):
    result = run("show", name)
    assert result.exit_code == 0
    assert result.stdout == FILE.read_text(encoding="utf-8")


def test_show_breaks_no_line_of_any_recipe(run):
    expected = {name: file.read_text(encoding="utf-8") for name, file in shipped_recipes().items()}
    shown = {name: run("show", name).stdout for name in expected}
    assert [name for name in expected if shown[name] != expected[name]] == []


@pytest.mark.parametrize("command", ["show", "copy"])
def test_a_miss_names_the_nearest_and_exits_2(run, command, tmp_path):
    result = run(command, "glue/rte_compacterp")
    assert result.exit_code == 2
    assert f"try {NAME}" in result.stderr
    assert list(tmp_path.iterdir()) == []


# copy


def test_copy_writes_the_file_byte_for_byte_under_the_name_given(run, tmp_path):
    result = run("copy", NAME, "my_rte.toml")
    assert result.exit_code == 0
    assert (tmp_path / "my_rte.toml").read_bytes() == FILE.read_bytes()
    assert "compacter train --recipe my_rte.toml" in result.stdout


def test_copy_of_a_pretraining_names_its_own_command(run, tmp_path):
    result = run("copy", "demo/pretrain", "my.toml")
    assert result.exit_code == 0
    assert "next: compacter pretrain --recipe my.toml --output DIR" in result.stdout


def test_copy_to_nowhere_in_particular_takes_the_recipes_own_name(run, tmp_path):
    assert run("copy", NAME).exit_code == 0
    assert (tmp_path / "rte_compacterpp.toml").read_bytes() == FILE.read_bytes()


@pytest.mark.parametrize("name", [NAME, f"{NAME}.toml"])
def test_copy_into_a_folder_keeps_the_name(tmp_path, name):
    written = copy_recipe(name=name, to=tmp_path)
    assert written == tmp_path / "rte_compacterpp.toml"
    assert load_recipe(str(written)) == load_recipe(NAME)


def test_copy_never_overwrites(run, tmp_path):
    path = tmp_path / "rte_compacterpp.toml"
    path.write_text("mine", encoding="utf-8")
    for to in (".", "rte_compacterpp.toml"):
        result = run("copy", NAME, to)
        assert result.exit_code == 2
        assert "not overwritten" in result.stderr
        assert path.read_text(encoding="utf-8") == "mine"


def test_copy_into_a_folder_that_is_not_there_exits_2(run, tmp_path):
    result = run("copy", NAME, "no/such/folder/my.toml")
    assert result.exit_code == 2
    assert "cannot write" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_copy_follows_no_dangling_link(tmp_path):
    (tmp_path / "link.toml").symlink_to(tmp_path / "elsewhere.toml")
    with pytest.raises(UsageError):
        copy_recipe(name=NAME, to=tmp_path / "link.toml")
    assert not (tmp_path / "elsewhere.toml").exists()


def test_without_a_subcommand_the_help_is_shown(run):
    result = run()
    for name in ("list", "show", "copy"):
        assert name in result.output

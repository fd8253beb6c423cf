"""The shipped recipes by name."""

from pathlib import Path

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.recipe.shipped import find_recipe, shipped_recipes, shipped_sweeps

SHIPPED = Path(__file__).parents[2] / "recipes"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run outside the repository, whose own folder could be taken for a path."""
    monkeypatch.chdir(tmp_path)


def test_every_toml_file_below_recipes_is_listed_by_folder_and_stem():
    files = [f"{path.parent.name}/{path.stem}" for path in SHIPPED.rglob("*.toml")]
    assert len(files) == len(set(files)), "two recipes share a name"
    sweeps = {name for name in files if name.startswith("sweeps/")}
    assert set(shipped_recipes()) == set(files) - sweeps
    assert list(shipped_recipes()) == sorted(shipped_recipes())
    assert {f"sweeps/{name}" for name in shipped_sweeps()} == sweeps


@pytest.mark.parametrize("name", ["glue/rte_compacterpp", "glue/rte_compacterpp.toml"])
def test_a_shipped_recipe_is_found_with_and_without_its_ending(name):
    source, text = find_recipe(name)
    assert source == "glue/rte_compacterpp.toml"
    assert text == (SHIPPED / "glue" / "rte_compacterpp.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["glue/rte_compacterpp", "glue/rte_compacterpp.toml"])
def test_a_file_wins_over_a_shipped_recipe_of_its_name(tmp_path, name):
    (tmp_path / "glue").mkdir()
    (tmp_path / name).write_text("mine = 1\n", encoding="utf-8")
    assert find_recipe(name) == (name, "mine = 1\n")


def test_a_file_is_found_by_absolute_and_home_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    path = tmp_path / "my.toml"
    path.write_text("mine = 1\n", encoding="utf-8")
    assert find_recipe(str(path)) == (str(path), "mine = 1\n")
    assert find_recipe("~/my.toml") == (str(path), "mine = 1\n")


def test_a_miss_names_the_three_nearest():
    with pytest.raises(UsageError, match='no recipe "glue/rte_compacterp"') as caught:
        find_recipe("glue/rte_compacterp")
    near = caught.value.hint.partition("try ")[2].partition(";")[0].split(", ")
    assert len(near) == 3
    assert near[0] == "glue/rte_compacterpp"
    assert set(near) <= set(shipped_recipes())
    assert "compacter recipes list" in caught.value.hint


def test_the_beginning_of_names_is_told_those_that_go_on_so():
    with pytest.raises(UsageError) as caught:
        find_recipe("demo/entailment")
    assert caught.value.hint.startswith("try demo/entailment_compacterpp, demo/entailment_")


def test_a_name_like_nothing_gets_the_list_and_no_guess():
    for name in ("", "nothing"):
        with pytest.raises(UsageError) as caught:
            find_recipe(name)
        assert caught.value.hint == "compacter recipes list"


@pytest.mark.parametrize("name", ["glue", "rte_compacterpp", "../glue/rte_compacterpp"])
def test_parts_of_a_name_and_ways_around_it_are_misses(name):
    with pytest.raises(UsageError):
        find_recipe(name)

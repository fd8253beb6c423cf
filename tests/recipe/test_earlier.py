"""Recipes that runs of earlier versions wrote, which lack what could not be said then."""

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.recipe.earlier import completed
from compacter_cli.recipe.recipe import load_recipe, recipe_of_run

# Keys that were not always there.
NEW = {"method": ("final_norms", "gradient"), "data": ("prefix",)}


def as_written_then(name):
    """The plain recipe of a run without the keys that there were not."""
    tables = load_recipe(name).plain()
    for section, keys in NEW.items():
        tables[section] = {key: v for key, v in tables[section].items() if key not in keys}
    return tables


def test_bitfit_had_a_bias_behind_the_last_norms():
    assert recipe_of_run(as_written_then("glue/rte_bitfit")).method.final_norms is True
    assert load_recipe("glue/rte_bitfit").method.final_norms is False


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("glue/rte_full", "rte"),
        ("demo/entailment_said", "entailment"),
        ("super_glue/cb_prompt_r", "cb"),
        ("super_glue/record_bitfit", ""),
        ("super_glue/cb_compacterpp", None),
        ("super_glue/record_adapter", None),
    ],
)
def test_the_prefix_was_the_short_name(name, prefix):
    found = recipe_of_run(as_written_then(name))
    assert found.data.prefix == prefix
    assert found.resolved().data.prefix == prefix


def test_a_data_set_of_ones_own_has_no_prefix():
    data = {"train": "a.csv", "source": "{text}", "target": "{label}"}
    tables = {"task": "csv", "method": {"name": "full"}, "data": data}
    assert completed(tables) == tables


@pytest.mark.parametrize("name", ["glue/rte_said", "super_glue/cb_full", "super_glue/cb_bitfit"])
def test_what_this_version_writes_stays_as_it_is(name):
    tables = load_recipe(name).plain()
    assert completed(tables) == tables


@pytest.mark.parametrize("name", METHODS)
def test_what_held_then_are_settings_of_the_method(name):
    assert METHODS[name].unsaid.keys() <= METHODS[name].model_fields.keys()


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {"method": 1, "data": {}},
        {"method": {}, "data": []},
        {"method": {"name": []}, "data": {}},
        {"task": [], "method": {"name": "full"}, "data": {}},
    ],
)
def test_what_is_no_recipe_stays_what_it_is(tables):
    assert completed(tables) == tables


def test_a_data_directory_beside_a_folder_had_no_effect():
    tables = {"method": {}, "data": {"folder": "originals", "data_dir": "tfds"}}
    assert completed(tables)["data"] == {"folder": "originals"}

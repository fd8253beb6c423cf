"""From an adapter's manifest to the recipe by which it is used."""

import pytest

from compacter_cli.adapters.manifest import read_manifest
from compacter_cli.adapters.restoring import CHANGEABLE, check_use, recipe_of_manifest, recipe_with
from compacter_cli.errors import RecipeError, UsageError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.sections import (
    BackboneSection,
    DataSection,
    OwnDataSection,
    TrainSection,
)


@pytest.fixture
def used(smoke_run):
    """Gives the recipe by which the run's adapter is used, with `--set` values."""
    directory = smoke_run / "best"
    return lambda *overrides: recipe_with(read_manifest(directory), directory, overrides)


def test_without_changes_it_is_the_runs_recipe(smoke_run, used):
    assert used() == load_recipe(str(smoke_run / "recipe.toml"))
    directory = smoke_run / "best"
    assert recipe_of_manifest(read_manifest(directory), directory) == used()


@pytest.mark.parametrize(
    ("override", "section", "key", "value"),
    [
        ("backbone.precision=bfloat16", "backbone", "precision", "bfloat16"),
        ("data.source_length=7", "data", "source_length", 7),
        ("data.folder=/elsewhere", "data", "folder", "/elsewhere"),
        ("train.eval_batch_size=3", "train", "eval_batch_size", 3),
        ("train.execution=reference", "train", "execution", "reference"),
    ],
)
def test_what_does_not_make_another_adapter_is_changed(used, override, section, key, value):
    assert getattr(getattr(used(override), section), key) == value


@pytest.mark.parametrize(
    "override",
    [
        "method.bottleneck=12", 'method={name="bitfit"}', "seed=1", "task=demo/entailment",
        "data.seed=7", "train.epochs=3", "train.dropout=0.2", "train.remat=true", "output.root=x",
    ],
)  # fmt: skip
def test_what_makes_another_adapter_or_has_no_effect_is_refused(used, override):
    with pytest.raises(UsageError, match=r"was trained with .*, which cannot be changed") as caught:
        used(override)
    assert caught.value.hint.startswith("can be changed: backbone.preset, backbone.precision, ")


def test_a_value_that_is_the_trained_one_already_is_no_change(used):
    assert used("method.bottleneck=24", "seed=42", "train.epochs=2") == used()


def test_an_unknown_key_is_a_problem_of_the_recipe(used):
    with pytest.raises(RecipeError, match="unknown key"):
        used("backbone.precison=bfloat16")


def test_a_recipe_of_another_adapter_is_refused(smoke_run):
    directory = smoke_run / "best"
    other = load_recipe("demo/smoke_compacterpp", ["method.n=2"])
    with pytest.raises(UsageError, match=r"^method\.n = 2: the adapter in .* with 4, which"):
        check_use(read_manifest(directory), directory, other)


def test_every_changeable_key_is_one_of_a_recipe():
    sections = {
        "backbone": [BackboneSection],
        "data": [DataSection, OwnDataSection],
        "train": [TrainSection],
    }
    for name in CHANGEABLE:
        section, _, key = name.partition(".")
        assert any(key in kind.model_fields for kind in sections[section]), name

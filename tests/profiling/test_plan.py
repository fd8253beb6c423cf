"""From options to one recipe a method."""

import pytest

from compacter_cli.errors import RecipeError, UsageError
from compacter_cli.profiling.plan import recipes_of

TABLES = {
    "task": "demo/smoke",
    "backbone": {"preset": "t5_base_multi"},
    "train": {"batch_size": 16},
    "data": {"source_length": 128},
}


def test_each_method_takes_of_the_settings_what_it_has():
    recipes = recipes_of(
        ["full", "adapter", "phm"], TABLES, ["method.n=8", "method.bottleneck=48", "seed=7"]
    )
    assert list(recipes) == ["full", "adapter", "phm"]
    assert recipes["phm"].method.n == 8
    assert recipes["phm"].method.bottleneck == recipes["adapter"].method.bottleneck == 48
    assert {recipe.seed for recipe in recipes.values()} == {7}


def test_settings_win_over_options():
    (recipe,) = recipes_of(["full"], TABLES, ["train.batch_size=4", "train.dropout=0.0"]).values()
    assert (recipe.train.batch_size, recipe.train.dropout) == (4, 0.0)


@pytest.mark.parametrize(
    ("names", "overrides", "said"),
    [
        (["compactr"], [], 'unknown method "compactr"'),
        (["full", "bitfit"], ["method.n=4"], "method.n: none of the methods"),
        (["full"], ["method.name=phm"], "chosen with --method"),
        (["full"], ["method=phm"], "chosen with --method"),
    ],
)
def test_what_cannot_be_measured(names, overrides, said):
    with pytest.raises(UsageError, match=said):
        recipes_of(names, TABLES, overrides)


def test_problems_of_the_recipe_are_listed():
    with pytest.raises(RecipeError, match=r"train\.epoch") as caught:
        recipes_of(["phm"], TABLES, ["train.epoch=3", "method.n='four'"])
    assert {problem.key for problem in caught.value.problems} == {"train.epoch", "method.n"}


def test_an_n_that_does_not_divide_is_left_to_the_row():
    assert recipes_of(["phm"], TABLES, ["method.n=5"])["phm"].method.n == 5

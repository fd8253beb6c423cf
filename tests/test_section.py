"""What a section is made of in Python, and where two plain recipes differ."""

import pytest

from compacter_cli.errors import RecipeError
from compacter_cli.methods import METHODS
from compacter_cli.recipe.recipe import Recipe
from compacter_cli.section import differences, value_at

ONE = {"task": "glue/rte", "train": {"epochs": 3, "seeds": [1, 2]}, "data": {"labels": {"a.b": 1}}}


@pytest.mark.parametrize(
    ("other", "keys"),
    [
        (ONE, []),
        ({**ONE, "task": "glue/cola"}, ["task"]),
        ({**ONE, "train": {"epochs": 3, "seeds": [2, 1]}}, ["train.seeds"]),
        ({"task": "glue/rte", "data": ONE["data"]}, ["train.epochs", "train.seeds"]),
        ({**ONE, "train": "none"}, ["train", "train.epochs", "train.seeds"]),
        ({**ONE, "data": {"labels": {"a.b": 2}}}, ["data.labels.a.b"]),
        ({**ONE, "seed": 1, "method": {"n": 4}}, ["method.n", "seed"]),
    ],
)
def test_differences_are_the_dotted_keys_of_either(other, keys):
    assert differences(ONE, other) == differences(other, ONE) == keys


def test_a_value_is_had_by_its_dotted_key():
    assert value_at(ONE, "train.epochs", "none") == 3
    assert value_at(ONE, "data.labels.a.b", "none") == 1
    assert value_at(ONE, "train.rate", "none") == "none"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: METHODS["compacter"](nn=1), 'Compacter(...): nn: unknown (did you mean "n"?)'),
        (
            lambda: METHODS["lora"](rank="8"),
            'LoRA(...): rank: must be a valid integer. Received: "8"',
        ),
        (
            lambda: METHODS["lora"](projections=[]),
            "LoRA(...): projections: must hold at least 1. Received: nothing",
        ),
        (lambda: Recipe(task="demo/smoke"), "Recipe(...): backbone: missing; method: missing"),
    ],
)
def test_what_a_section_is_made_of_in_python_is_refused_in_a_line(make, told):
    with pytest.raises(RecipeError) as caught:
        make()
    assert str(caught.value) == told
    assert caught.value.__cause__ is None

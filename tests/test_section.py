"""Where two plain recipes differ."""

import pytest

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

"""What two plain recipes differ in."""

from compacter_cli.section import differences


def test_recipes_differ_in_the_values_of_their_dotted_keys():
    one = {"seed": 1, "train": {"epochs": 2, "rate": 0.1}, "method": {"name": "full"}}
    other = {"seed": 1, "train": {"epochs": 3}, "method": {"name": "full", "n": 4}}
    assert differences(one, other) == {
        "method.n": (None, 4),
        "train.epochs": (2, 3),
        "train.rate": (0.1, None),
    }
    assert list(differences(one, other)) == ["method.n", "train.epochs", "train.rate"]
    assert differences(one, one) == {}

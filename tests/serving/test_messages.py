"""How much is told of what is wrong: little, however much is asked."""

import pytest
from pydantic import TypeAdapter, ValidationError

from compacter_cli.serving.messages import Asked

ASKED = TypeAdapter(Asked)
MANY = {str(n): None for n in range(10_000)}


@pytest.mark.parametrize(
    ("question", "said", "most"),
    [
        ({"texts": ["x"], **MANY}, "at most 64 keys", 1),
        ({"rows": [MANY]}, "at most 64 keys", 1),
        ({"rows": [{"a": [1] * 10_000}]}, "valid string", 5),
        ({"rows": [{str(n): [1] for n in range(64)}] * 256}, "valid string", 5 * 64),
        ({"rows": [None] * 10_000}, "valid dictionary", 1),
        ({"texts": [None] * 10_000}, "valid string", 1),
        ({"texts": ["x" * 100_001]}, "at most 100000 characters", 1),
        ({"rows": [{"a": ["x"] * 1001}]}, "valid string", 5),
        ({"texts": ["x"], "adapter": "x" * 201}, "at most 200 characters", 1),
    ],
)
def test_what_is_wrong_is_told_in_few_errors(question, said, most):
    with pytest.raises(ValidationError) as caught:
        ASKED.validate_python({"adapter": "a", **question})
    assert said in str(caught.value)
    assert caught.value.error_count() <= most


def test_what_is_within_the_bounds_is_taken():
    row = {"a": "x" * 100_000, "b": ["y"] * 1000, "c": 1.5, "d": True, "e": 2}
    assert ASKED.validate_python({"adapter": "a" * 200, "rows": [row] * 256}).rows[255] == row

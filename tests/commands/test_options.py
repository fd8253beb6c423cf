"""Lists are taken where a list is meant: repeated, with commas, or both."""

import pytest

from compacter_cli.commands.options import parts, whole_numbers
from compacter_cli.errors import UsageError


def test_parts_are_split_at_commas_and_stripped():
    assert parts(["a,b", " c "]) == ["a", "b", "c"]
    assert parts(["a,"]) == ["a", ""]  # which the command refuses as it does any unknown name
    assert parts([]) is None
    assert parts(None) is None


def test_whole_numbers():
    assert whole_numbers("--n", ["4,8", "12"]) == [4, 8, 12]
    assert whole_numbers("--n", None) is None
    for wrong in ("4,x", "4,", "1.5"):
        with pytest.raises(UsageError, match=f"^--n {wrong}: expected whole numbers") as caught:
            whole_numbers("--n", [wrong])
        assert caught.value.hint == "such as --n 4,8,12"

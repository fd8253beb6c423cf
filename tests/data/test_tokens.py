"""Token ids in one array: what a list of lists of them says, in two bytes an id where they fit."""

import pytest

from compacter_cli.data.tokens import Tokens

ROWS = [[5, 6, 1], [], [32_127, 1], [1]]


def test_they_are_what_the_lists_are():
    tokens = Tokens.of(iter(ROWS))
    assert len(tokens) == 4
    assert list(tokens) == ROWS
    assert tokens[2] == ROWS[2]
    assert tokens[-1] == [1]
    assert tokens[1:3] == ROWS[1:3]
    assert {type(token) for ids in tokens for token in ids} == {int}
    for place in (4, -5):
        with pytest.raises(IndexError):
            tokens[place]


def test_they_equal_the_same_ids_and_no_others():
    assert Tokens.of(ROWS) == Tokens.of(ROWS)
    assert Tokens.of(ROWS) == ROWS
    assert Tokens.of(ROWS) != Tokens.of(ROWS[:-1])
    assert Tokens.of([[1], [2]]) != Tokens.of([[1, 2]])
    assert Tokens.of(ROWS) != 4


@pytest.mark.parametrize(
    ("largest", "size"), [(65_535, 2), (65_536, 4), (250_111, 4)], ids=["T5", "just not", "mT5"]
)
def test_an_id_takes_two_bytes_where_all_fit_and_four_where_one_does_not(largest, size):
    rows = [[5, 6], [1, largest, 2], [7]]
    tokens = Tokens.of(rows)
    assert tokens == rows
    assert tokens.id_bytes == 6 * size


def test_none_are_none():
    assert list(Tokens.of([])) == []
    assert Tokens.of([]).id_bytes == 0

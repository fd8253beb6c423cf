"""Aligned columns: names left, numbers right, nothing cut off or empty, as wide as a window."""

import pytest

from compacter_cli.commands.aligned import print_aligned

ROWS = [("method", "trained", "%"), ("full", "222", "100.0"), ("compacterpp", "-", "1")]


@pytest.fixture
def printed(capsys, monkeypatch):
    """The lines that rows become in a window."""

    def lines(rows, columns=80, **settings):
        monkeypatch.setenv("COLUMNS", str(columns))
        print_aligned(rows, **settings)
        return capsys.readouterr().out.splitlines()

    return lines


def test_the_first_column_aligns_left_and_the_rest_right(printed):
    assert printed(ROWS) == [
        "method       trained      %",
        "full             222  100.0",
        "compacterpp        -      1",
    ]


def test_more_names(printed):
    rows = [("a", "b", "c"), ("one", "two", "3")]
    assert printed(rows, left=2) == ["a    b    c", "one  two  3"]


def test_a_column_with_nothing_in_it_is_left_out_but_one_of_names(printed):
    rows = [("a", "b", "c", "d"), ("", "x", "-", "3"), ("", "y", "", "4")]
    assert printed(rows, left=2) == ["a  b  d", "   x  3", "   y  4"]


def test_what_is_too_wide_is_a_table_below_the_other_with_the_names_again(printed):
    assert printed(ROWS, 20) == [
        "method       trained",
        "full             222",
        "compacterpp        -",
        "",
        "method           %",
        "full         100.0",
        "compacterpp      1",
    ]


def test_tables_begin_where_they_are_told_unless_one_is_enough(printed):
    rows = [("name", "a", "b", "c"), ("x", "1", "2", "3")]
    assert printed(rows, 13, breaks=[2]) == ["name  a  b  c", "x     1  2  3"]
    assert [line.split() for line in printed(rows, 12, breaks=[2])][::3] == [
        ["name", "a"],
        ["name", "b", "c"],
    ]


def test_figures_are_whole_in_a_window_that_is_narrower(printed):
    lines = printed([("method", "trained"), ("full", "222,882,048")], 10)
    assert lines == ["method      trained", "full    222,882,048"]

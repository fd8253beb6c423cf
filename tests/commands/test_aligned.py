"""Aligned columns: names left, numbers right, nothing cut off."""

from compacter_cli.commands.aligned import print_aligned


def test_the_first_column_aligns_left_and_the_rest_right(capsys):
    print_aligned([("method", "trained", "%"), ("full", "222", "100.0"), ("compacterpp", "-", "")])
    assert capsys.readouterr().out.splitlines() == [
        "method      trained     %",
        "full            222 100.0",
        "compacterpp       -",
    ]


def test_more_names_and_more_room(capsys):
    print_aligned([("a", "b", "c"), ("one", "two", "3")], left=2, gap=2)
    assert capsys.readouterr().out.splitlines() == ["a    b    c", "one  two  3"]


def test_figures_are_whole_in_a_window_that_is_narrower(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    print_aligned([("method", *["trained"] * 5), ("full", *["222,882,048"] * 5)])
    assert capsys.readouterr().out.splitlines()[1].count("222,882,048") == 5

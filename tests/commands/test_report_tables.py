"""Tables on a terminal: as wide as it is, in several parts where they are wider."""

import pytest
from rich.console import Console

from compacter_cli.commands.report_tables import rich_tables
from compacter_cli.reports.table import Column, Entry, Row, Table, words


def printed(table, width):
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        for part in rich_tables(table, width):
            console.print(part)
    return capture.get().splitlines()  # none of which ends in blanks


TABLE = Table(
    "t",
    (Column("method", words=True), *(Column(f"task {number}") for number in range(6))),
    tuple(Row((words(name), *[Entry("90.00 ± 1.00")] * 6)) for name in ("full", "compacter")),
)


def test_a_table_that_fits_is_one():
    lines = printed(TABLE, 120)
    assert len(lines) == 3
    assert lines[0].replace("task ", "task").split() == ["method", *(f"task{n}" for n in range(6))]


@pytest.mark.parametrize("width", [26, 40, 80])
def test_a_wider_one_is_parted_and_every_part_says_whose_a_row_is(width):
    lines = printed(TABLE, width)
    assert max(map(len, lines)) <= width
    heads = [line for line in lines if line.startswith("method")]
    assert len(heads) > 1
    assert sum(line.startswith("compacter") for line in lines) == len(heads)
    assert sum(line.count("90.00 ± 1.00") for line in lines) == 12


def test_short_texts_are_folded_where_that_keeps_a_table_whole():
    columns = (Column("a", words=True), Column("method", words=True), Column("test"))
    rows = (Row((words("x"), words("Compacter++, random weights"), Entry("90.00"))),)
    lines = printed(Table("t", columns, rows), 30)
    assert [line.split() for line in lines] == [
        ["a", "method", "test"], ["x", "Compacter++,", "random", "90.00"], ["weights"],
    ]  # fmt: skip


def test_a_word_is_broken_only_where_nothing_else_helps():
    path = "runs/demo/similarity/compacterpp/t5_random-s44-64cbf6c8"
    columns = (Column("run", words=True), Column("directory", words=True))
    table = Table("t", columns, (Row((words("A"), words(path))),))
    assert printed(table, 70)[1] == f"A    {path}"
    assert "".join(line.strip("A ") for line in printed(table, 40)[1:]) == path


def test_columns_that_hold_nothing_are_left_out():
    rows = (Row((Entry("1"), Entry("-"), Entry("2"))),)
    assert printed(Table("t", (*map(Column, "abc"),), rows), 40) == ["a  c", "1  2"]


def test_rows_that_go_on_below_another_are_kept_apart_from_the_next():
    rows = tuple(Row((words(text),), text or "a") for text in ("a", "", "b"))
    assert printed(Table("t", (Column("x", words=True),), rows), 20) == ["x", "a", "", "", "b"]


def test_nothing_that_a_terminal_obeys_gets_there():
    table = Table("t", (Column("x", words=True),), (Row((words("\x1b[2J[bold]:smile:"),)),))
    assert printed(table, 60)[1] == "\\u001b[2J[bold]:smile:"


def test_long_texts_are_folded_and_nothing_of_them_is_lost():
    rows = (Row((words("compacter"), words("out of memory " * 8))),)
    lines = printed(Table("t", (Column("a", words=True), Column("why", words=True)), rows), 60)
    assert max(map(len, lines)) <= 60
    assert " ".join(lines).split().count("memory") == 8

"""What goes to stdout and what to stderr, and that nothing of it is eaten."""

import io
import json

import pytest

from compacter_cli.commands.console import (
    PlainConsole,
    err,
    out,
    print_json,
    show_error,
    show_note,
    table_of,
)
from compacter_cli.errors import CompacterError, Problem, RecipeError


@pytest.fixture(autouse=True)
def width(monkeypatch):
    """Both consoles as wide as a plain terminal, whatever the tests run in."""
    for console in (out, err):
        monkeypatch.setattr(console, "_width", 80)


def test_an_error_is_one_line_and_its_hint_on_stderr(capsys):
    show_error(CompacterError("it failed", "try this"))
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[0] == "error: it failed"
    assert printed.err.splitlines()[1].split() == ["next:", "try", "this"]
    assert len(printed.err.splitlines()) == 2


def test_an_error_without_hint_ends_after_its_line(capsys):
    show_error(CompacterError("it failed"))
    assert capsys.readouterr().err == "error: it failed\n"


def test_a_long_error_is_not_broken_so_that_its_paths_can_be_copied(capsys):
    path = "/a" * 100
    show_error(CompacterError(f"{path}: damaged", f"look at {path}"))
    first, second = capsys.readouterr().err.splitlines()
    assert first == f"error: {path}: damaged"
    assert second.endswith(path)


def test_square_brackets_are_text_and_no_markup(capsys):
    show_error(CompacterError("unknown key of [train] [bold]x[/bold]", "[red]"))
    printed = capsys.readouterr().err
    assert "[train] [bold]x[/bold]" in printed
    assert "[red]" in printed


def test_the_problems_of_a_recipe_are_a_table_on_stderr(capsys):
    problems = [Problem("a.b", "unknown key of [a]", "mend it"), Problem("c", "worse")]
    show_error(RecipeError("my.toml", problems))
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = [line.rstrip() for line in printed.err.splitlines()]
    assert lines[0] == "error: 2 problems in my.toml"
    assert lines[1].split() == ["key", "problem", "hint"]
    assert lines[2].split("  ")[0] == "a.b"
    assert "unknown key of [a]" in lines[2]
    assert lines[2].endswith("mend it")
    assert lines[3].split() == ["c", "worse"]
    assert len(lines) == 4


def test_one_problem_is_not_called_problems(capsys):
    show_error(RecipeError("my.toml", [Problem("c", "worse")]))
    assert "error: 1 problem in my.toml" in capsys.readouterr().err


def test_a_note_goes_to_stderr(capsys):
    show_note("mind [this]")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "note: mind [this]\n")


def test_json_is_all_that_is_printed_and_keeps_every_letter(capsys):
    value = {"text": "größe [x]", "number": 0.1, "long": "x" * 300, "none": None}
    print_json(value)
    printed = capsys.readouterr()
    assert json.loads(printed.out) == value
    assert "größe" in printed.out
    assert printed.err == ""


def test_number_columns_align_right_and_the_others_left(capsys):
    table = table_of("name", "count", numbers=("count",))
    table.add_row("a", "1")
    table.add_row("long name", "1,234")
    out.print(table)
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == [
        "name       count",
        "a              1",
        "long name  1,234",
    ]


def test_a_terminal_gets_sentences_that_break_no_word_and_commands_that_a_shell_takes():
    terminal = PlainConsole(file=io.StringIO(), force_terminal=True, color_system=None, width=24)
    terminal.say("one sentence of several words")
    terminal.say("\nnext: compacter report 'my runs'/a --html page.html")
    terminal.say_labelled("note:", "bold", "two\nsentences, as one line")
    assert terminal.file.getvalue().splitlines() == [
        "one sentence of several",
        "words",
        "",
        "next: compacter report \\",
        "    'my runs'/a --html \\",
        "    page.html",
        "note: two sentences, as",
        "one line",
    ]


def test_a_table_breaks_no_word_and_leaves_out_what_is_empty(capsys):
    table = table_of("key", "problem", "hint", "empty")
    table.add_row(
        "method.bottleneck", "a problem in several words", "train_output_layer, or so", "-"
    )
    table.add_row("x", "another", "", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(out, "_width", 50)
        out.print(table)
        out.print(table)
    printed = capsys.readouterr().out
    once, again = printed[: len(printed) // 2], printed[len(printed) // 2 :]
    assert once == again
    assert once.splitlines()[0].split() == ["key", "problem", "hint"]
    for word in [
        "method.bottleneck",
        "problem",
        "several",
        "words",
        "train_output_layer,",
        "another",
    ]:
        assert word in once.split()

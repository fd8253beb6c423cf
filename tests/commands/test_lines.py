"""Lines as wide as a terminal; no word is broken, and a broken command is still one."""

import io
import shlex

import pytest

from compacter_cli.commands.lines import bar_chart, say, wrapped, wrapped_command


def test_a_sentence_breaks_between_words_alone():
    assert wrapped("one two-three four", 9) == "one\ntwo-three\nfour"
    assert wrapped("a /very/long/path here", 6) == "a\n/very/long/path\nhere"
    assert wrapped("error: one two", 10, "  ") == "error: one\n  two"
    assert wrapped("", 10) == ""


@pytest.mark.parametrize("columns", [20, 30, 200])
def test_a_command_that_is_broken_is_still_the_same_command(columns):
    command = """compacter predict --run 'my runs/a b' --text "a b c" --json"""
    lines = wrapped_command(command, columns)
    assert shlex.split(lines.replace("\\\n", "")) == shlex.split(command)
    assert all(len(line) <= max(columns, 20) for line in lines.splitlines())
    assert ("\n" in lines) == (columns < 60)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_gets_a_sentence_in_one_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "10")
    pipe, terminal = io.StringIO(), Terminal()
    for stream in (pipe, terminal):
        say("one two three four", stream)
    assert pipe.getvalue() == "one two three four\n"
    assert terminal.getvalue() == "one two\nthree four\n"


def test_a_chart_has_a_bar_a_value_of_its_share_of_the_width():
    # Of 40 blocks: 40, 21 (20.8), none; nothing below 0.
    assert bar_chart({"a": 100.0, "long": 52.0, "b": 0.9, "c": -12.5}) == [
        "a     " + "█" * 40 + "  100.00",
        "long  " + "█" * 21 + " " * 19 + "   52.00",
        "b     " + " " * 40 + "    0.90",
        "c     " + " " * 40 + "  -12.50",
    ]
    assert bar_chart({"half": 50.0}, width=4) == ["half  ██     50.00"]

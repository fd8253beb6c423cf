"""What a terminal would obey is shown; streams that are closed or full cost no more than a line."""

import json
import subprocess
import sys

import pytest

from compacter_cli.commands.console import PlainConsole, print_json, show_error, show_note
from compacter_cli.commands.streams import visible
from compacter_cli.errors import CompacterError

ESCAPE = "\x1b]0;owned\x07\x1b[2J"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\tb\nc", "a\tb\nc"),
        ("Straße 漢字 🙂", "Straße 漢字 🙂"),
        (ESCAPE, "\\u001b]0;owned\\u0007\\u001b[2J"),
        ("a\rb\x7f\x9b", "a\\u000db\\u007f\\u009b"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_obeys_is_written_out(text, shown):
    assert visible(text) == shown


def test_no_error_note_or_json_carries_an_escape(capsys):
    show_error(CompacterError(f"bad {ESCAPE}\nerror: another", ESCAPE))
    show_note(ESCAPE)
    print_json({"text": ESCAPE})
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\x07" not in out + err
    assert len(err.splitlines()) == 3
    assert json.loads(out) == {"text": ESCAPE}


def test_a_console_shows_a_tables_cells_without_obeying_them():
    from compacter_cli.commands.console import table_of

    console = PlainConsole()
    table = table_of("text")
    table.add_row(ESCAPE)
    with console.capture() as captured:
        console.print(table)
    assert "\x1b]" not in captured.get()
    assert "\\u001b]0;owned" in captured.get()


@pytest.mark.parametrize("columns", ["0", "-3", "wide", "99999999"])
def test_a_width_that_is_none_is_as_if_it_were_not_set(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    code = (
        "from compacter_cli.commands.streams import guard_streams; guard_streams()\n"
        "from compacter_cli.commands.console import out; print(out.width); out.print('shown')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["80", "shown"], done.stderr

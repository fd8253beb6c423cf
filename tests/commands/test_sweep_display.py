"""What a sweep shows while it goes on: counts, running runs with time left, failures."""

import io
import time

import pytest

from compacter_cli.commands import sweep_display
from compacter_cli.commands.console import PlainConsole
from compacter_cli.commands.sweep import asked_for
from compacter_cli.commands.sweep_display import LiveTable, Plain, ended_words, screen
from compacter_cli.sweeps.expansion import expand
from compacter_cli.sweeps.following import Followed
from compacter_cli.sweeps.running import Surroundings, sweep_run


@pytest.fixture
def running(tmp_path, monkeypatch):
    """A sweep of 36 runs: ten done, one failed, two running for 20 seconds."""
    asked = asked_for("demo_figure4")
    found = sweep_run(tmp_path, asked, expand(asked).runs, Surroundings())
    names = [line["run"] for line in found.lines]
    for line in found.lines[:10]:
        line["state"] = "finished"
    found.lines[10]["state"] = "failed"
    found.ended |= set(names[:11])
    found.began = time.time() - 110
    now = time.time()
    followed = {
        names[11]: Followed(120, 0.3456, (now - 20, 20)),
        names[12]: Followed(0, None, (now, 0)),
    }
    monkeypatch.setattr(found, "running", lambda: followed)
    return found


def lines_of(shown, width):
    console = PlainConsole(width=width, file=io.StringIO())
    console.print(shown)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [80, 120])
def test_one_table_tells_done_running_failed_and_time_left(running, width):
    lines = lines_of(screen(running, ["demo/entailment full at 100 seed 43: failed: x"]), width)
    # 11 of 36 ended in 110 seconds: 25 more take 250
    assert lines[0] == "10 of 36 done, 2 running, 1 failed; 2 min gone, ETA 4 min"
    first = next(line for line in lines if "120/1,000" in line)
    assert "0.346" in first
    assert "3 min" in first  # 100 updates in 20 seconds, 880 more in 176
    assert "failed  demo/entailment full at 100 seed 43: failed: x" in lines
    assert all(len(line) <= width for line in lines)


def test_without_an_ended_run_there_is_no_time_left(running):
    running.ended.clear()
    assert "ETA" not in lines_of(screen(running, []), 80)[0]


def test_lines_for_where_no_terminal_is(running):
    console = PlainConsole(width=120, file=io.StringIO())
    display = Plain(console)
    display.begun(running)
    line = {**running.lines[0], "test_mean": 81.234, "training_seconds": 200.0}
    display.ended(line, {"state": "finished"})
    display.look(running)
    display.stop()
    first, second = console.file.getvalue().splitlines()
    assert first.startswith("Few training rows, demo tasks: 36 runs to do, 0 there (")
    assert second == "1/36  demo/entailment full at 100 seed 42: test 81.23 in 3 min"


def test_a_live_table_remembers_what_failed(running):
    console = PlainConsole(width=100, file=io.StringIO(), force_terminal=True)
    display = LiveTable(console)
    display.begun(running)
    display.ended(running.lines[0], {"state": "died", "error": "out of memory?"})
    display.look(running)
    display.stop()
    assert "failed  demo/entailment full at 100 seed 42: died: out of memory?" in (
        console.file.getvalue()
    )


def test_words_for_what_became_of_a_run():
    assert ended_words({"step_ms": 12.6}, {"state": "finished"}) == "13 ms a step"
    assert ended_words({}, {"state": "stopped"}) == "stopped: it was asked to"


def test_a_run_that_died_is_told_before_it_is_tried_again(running):
    console = PlainConsole(width=200, file=io.StringIO())
    Plain(console).again(running.lines[0], {"state": "died", "error": "its process was killed"})
    assert console.file.getvalue() == (
        "demo/entailment full at 100 seed 42: died: its process was killed; "
        "it is tried once more from its saved state\n"
    )


def test_runs_of_the_sweep_before_are_told(running):
    running.apart = 2
    console = PlainConsole(width=200, file=io.StringIO())
    Plain(console).begun(running)
    assert "the directory also holds 2 runs of the sweep as it was" in console.file.getvalue()


def test_a_quiet_command_shows_nothing(capsys):
    display = sweep_display.display_for(quiet=True)
    display.stop()
    assert capsys.readouterr() == ("", "")

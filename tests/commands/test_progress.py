import io
from pathlib import Path

import pytest

from compacter_cli.commands.console import PlainConsole
from compacter_cli.commands.progress import Live, Plain, display_for, progress_for
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.shapes import shape_of
from compacter_cli.training.display import Opening
from compacter_cli.training.loop import Epoch
from compacter_cli.training.scoring import Scores
from compacter_cli.training.trainer import Update
from compacter_cli.training.words import opening_lines


def update(step, loss=0.5, rate=3e-3):
    return Update(step, 1, loss, rate, 1.0)


def epoch(number=1, best=True, invalid=0):
    return Epoch(
        number, 10, 0.25, Scores({"accuracy": 60.0}, {"accuracy": 52.5}, 40, invalid), best
    )


def console(terminal):
    return PlainConsole(file=io.StringIO(), force_terminal=terminal, width=100)


@pytest.fixture
def plain():
    """Makes a started plain display: (display, function that gives its lines so far)."""

    def make(updates, lines=("opening",)):
        screen = console(terminal=False)
        display = progress_for(screen)
        for line in lines:
            display.line(line)
        display.start(updates)
        return display, lambda: screen.file.getvalue().splitlines()

    return make


def test_a_terminal_gets_a_bar_and_a_file_plain_lines():
    assert type(progress_for(console(terminal=True))) is Live
    assert type(progress_for(console(terminal=False))) is Plain


def test_a_quiet_command_shows_nothing(capsys):
    display = display_for(quiet=True)
    display.opening(None)
    display.scoring_before()
    display.scored_before(None)
    display.start(10)
    display.line("a line")
    display.update(update(1))
    display.epoch(epoch())
    display.stop()
    assert capsys.readouterr() == ("", "")


def test_the_opening_is_shown_line_by_line(plain):
    recipe = load_recipe("demo/smoke_compacterpp")
    sizes = {"train": 600, "validation": 100, "test": 100}
    opening = Opening(recipe, shape_of("random/tiny"), sizes, 0, 300, "cpu", Path("runs/x"))
    display, lines = plain(300, [])
    display.opening(opening)
    assert lines() == opening_lines(opening)
    assert lines()[-1] == "writing to runs/x"


def test_a_score_before_training_is_announced_and_shown(plain):
    display, lines = plain(10, [])
    display.scoring_before()
    display.scored_before(Scores({"accuracy": 12.0}, {"accuracy": 54.0}, 100, 99))
    assert lines() == [
        "scoring the test set before training ...",
        "before training: test accuracy 12.00 (majority 54.00), 99 of 100 answers invalid",
    ]


def test_plain_lines_are_not_wrapped_or_read_as_markup(plain):
    long = "[bold]" + "x" * 300
    _, lines = plain(10, [long, "second"])
    assert lines() == [long, "second"]


def test_plain_shows_every_tenth_of_the_updates(plain):
    display, lines = plain(200)
    for step in range(1, 201):
        display.update(update(step))
    display.stop()
    steps = [line.split()[1] for line in lines()[1:]]
    assert steps == [f"{step}/200" for step in range(20, 201, 20)]


def test_plain_shows_every_update_of_a_short_run(plain):
    display, lines = plain(3)
    for step in (1, 2, 3):
        display.update(update(step))
    assert [line.split()[1] for line in lines()[1:]] == ["1/3", "2/3", "3/3"]


def test_a_step_line_gives_loss_and_rate(plain):
    display, lines = plain(1)
    display.update(update(1, loss=1.23456, rate=2.5e-4))
    assert lines()[-1] == "step 1/1  loss 1.2346  rate 2.50e-04"


def test_an_epoch_line_gives_loss_scores_majority_and_what_was_best(plain):
    display, lines = plain(10)
    display.epoch(epoch(number=4))
    display.epoch(epoch(number=5, best=False, invalid=7))
    best, other = lines()[1:]
    assert best.startswith("epoch 4: loss 0.2500, validation accuracy 60.00 (majority 52.50)")
    assert "best so far" in best
    assert "epoch 5" in other
    assert "best" not in other
    assert "7 of 40 answers invalid" in other


def test_a_bar_shows_how_far_it_is_and_ends():
    screen = console(terminal=True)
    display = progress_for(screen)
    display.line("opening")
    display.start(8)
    for step in (1, 2, 3):
        display.update(update(step, loss=9.8765))
    display._bar.refresh()
    display.epoch(epoch())
    display.stop()
    display.stop()  # no harm
    shown = screen.file.getvalue()
    for text in ("opening", "3/8", "loss 9.8765", "epoch 1: loss 0.2500"):
        assert text in shown
    assert "step 3/8" not in shown  # that is what the bar is for
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") > 0  # the cursor is back
    assert not display._bar.live.is_started


def test_a_bar_can_begin_where_a_run_goes_on():
    screen = console(terminal=True)
    display = progress_for(screen)
    display.line("opening")
    display.start(8, done=5)
    display.line("a line")
    display._bar.refresh()
    display.stop()
    assert "5/8" in screen.file.getvalue()
    assert "a line" in screen.file.getvalue()


def test_a_second_training_has_a_bar_of_its_own_alone():
    screen = console(terminal=True)
    display = progress_for(screen)
    for updates in (8, 6):
        display.start(updates)
        display.update(update(5))
        display._bar.refresh()
        display.stop()
    first, second = screen.file.getvalue().split("5/6", 1)
    assert "5/8" in first
    assert "5/8" not in second
    assert len(display._bar.tasks) == 1


def test_a_bar_that_never_started_can_be_stopped():
    progress_for(console(terminal=True)).stop()

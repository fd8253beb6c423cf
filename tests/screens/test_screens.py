"""What every command shows on terminals of 80 and 120 columns, kept as text: pytest --rewrite.

Commands that take long show what `record.py` has kept in `recorded/` of a small real run. A screen
is the same on a dark and on a light ground: what colours there are can be read on both.
"""

import io
import json
import re
import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import pytest
import typer
from rich.color import ColorSystem
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME

from compacter_cli.commands import (
    convert_words,
    data_prepare,
    data_status,
    demo,
    evaluate,
    predict,
    pretrain,
    profile,
    report,
    serve,
    sweep_display,
    sweep_words,
    train,
)
from compacter_cli.commands.console import err, out, show_error
from compacter_cli.commands.progress import Live
from compacter_cli.errors import CompacterError
from compacter_cli.main import COMMANDS, app
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.reports.sweep_report import report_of_sweep
from compacter_cli.sweeps.following import Followed
from compacter_cli.sweeps.reading import load_sweep

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"
RUN = "runs/demo/smoke/compacterpp/mine"
SWEEP = "runs/sweeps/rates"
WIDTHS = (80, 120)
ENDLESS = 5_000  # columns, in which nothing need be broken
STYLE = re.compile("\x1b\\[([0-9;]*)m")
READABLE = {"", "0", "1", "31", "35", "90"}  # the terminal's own bold, red, magenta; a bar's ground

SMOKE = ("--recipe", "demo/smoke_compacterpp")
CALLED = {
    "help": ["--help"],
    "count-params": ["count-params"],
    "count-params-few": ["count-params", "--n", "4,8,12", "--method", "compacterpp,lora"],
    "count-params-backbones": ["count-params", "--backbone", "all", "--method", "compacterpp"],
    "recipes-list": ["recipes", "list", "--task", "rte"],
    "recipes-copy": ["recipes", "copy", "glue/rte_compacterpp", "mine.toml"],
    "validate": ["validate", *SMOKE],
    "train-plan": ["train", *SMOKE, "--dry-run", "--no-estimate"],
    "sweep-plan": ["sweep", "table2", "--dry-run", "--no-estimate"],
    "data-status": ["data", "status", "--data-dir", "data"],
    "report": ["report", RUN],
    "report-two": ["report", RUN, "runs/other"],
    "error-command": ["trian"],
    "error-option": ["train", "--recipes", "x"],
    "error-missing": ["train"],
    "error-recipe": ["train", "--recipe", "demo/smoke_compacterp"],
    "error-nothing-near": ["recipes", "show", "nothing"],
    "error-method": ["train", *SMOKE, "--set", "method.name=lor"],
    "error-no-method": ["train", *SMOKE, "--set", "method.name=zzz"],
    "error-settings": [
        "train", *SMOKE, "--set", "method.name=lora", "--set", "train.epoch=3",
        "--set", "method.rnk=4",
    ],
    "error-twice": ["train", *SMOKE, *SMOKE],
}  # fmt: skip
HELP_IS_OF = "0.29."
HELD_BY = ("data prepare", "data status", "recipes copy", "recipes list", "recipes show")
CALLED |= {
    f"help-{name.replace(' ', '-')}": [*name.split(), "--help"] for name in (*COMMANDS, *HELD_BY)
}


def recorded(name):
    return json.loads((HERE / "recorded" / f"{name}.json").read_text(encoding="utf-8"))


def result():
    return recorded("demo")["compacterpp"]


def show_progress():
    live = Live(err)
    live.start(15_000, done=4_000)
    live.update(SimpleNamespace(step=4_001, loss=0.4321, learning_rate=3e-3))
    err.print(live._bar.get_renderable())
    live.stop()


def swept():
    """A sweep of two runs, one of which failed."""
    kept = HERE / "recorded" / "sweep"
    lines = map(json.loads, (kept / "index.jsonl").read_text(encoding="utf-8").splitlines())
    sweep = load_sweep(str(kept / "sweep.toml"))
    return SimpleNamespace(sweep=sweep, lines=[*lines], directory=Path(SWEEP))


def show_swept():
    found = swept()
    report.show(report_of_sweep(found.sweep, found.lines), "terminal")


def show_sweeping():
    """The same, while the first of them goes on."""
    found, now = swept(), time.time()
    first, failed = found.lines
    found.jobs, found.ended = [first, failed], {failed["run"]}
    found.lines = [{**first, "state": "unfinished"}, failed]
    found.updates = {first["run"]: 60}
    found.running = lambda: {first["run"]: Followed(40, 0.61, (now - 4, 0))}
    found.line, found.began = lambda run: first, now - 30
    reason = f"{sweep_words.run_words(failed)}: {failed['state']}: {failed['error']}"
    with mock.patch.object(time, "time", return_value=now):  # however long all of this took
        err.print(sweep_display.screen(found, [reason]))


def show_serving():
    names = ["sentiment", "entailment"]
    err.say(serve.loading_line(names))
    err.say(serve.ready_line("http://127.0.0.1:8000", names))


def show_preparing():
    err.say("preparing glue/rte ...")
    data_prepare.show_prepared(recorded("prepared"), Path("data"))


def show_failure():
    told = recorded("failure")
    show_error(CompacterError(told["error"], told["next"]))


def show_pretraining():
    for line in recorded("said")["pretrain"]:
        err.say(line)
    pretrain.show_result(recorded("pretrained"))


SHOWN = {
    "train": lambda: train.show_result(result()),
    "train-progress": show_progress,
    "train-failed": show_failure,
    "evaluate": lambda: evaluate.show(recorded("evaluation")),
    "evaluate-two": lambda: evaluate.show(recorded("evaluation-two")),
    "predict": lambda: predict.show(recorded("answers")),
    "demo": lambda: demo.show(recorded("demo")),
    "profile": lambda: profile.show(recorded("profile")),
    "pretrain": show_pretraining,
    "serve": show_serving,
    "convert": lambda: convert_words.show(
        recorded("converted"), load_recipe("demo/sentiment_lora")
    ),
    "convert-backbone": lambda: convert_words.show_backbone(recorded("converted-backbone")),
    "data-status-whole": lambda: data_status.show_status(recorded("status"), Path("data")),
    "data-prepare": show_preparing,
    "sweep": lambda: sweep_words.show_sweep(swept()),
    "sweep-progress": show_sweeping,
    "report-sweep": show_swept,
    "sweep-plan-estimated": lambda: sweep_words.show_plan(recorded("sweep-plan")),
}


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


@pytest.fixture
def screen(monkeypatch, tmp_path):
    """What a screen of so many columns shows, with its colours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    for place in (RUN, "runs/other"):
        shutil.copytree(FIXTURES / "run", place)

    def shown(name, columns):
        terminal = Terminal()
        monkeypatch.setenv("COLUMNS", str(columns))
        for console in (out, err):
            monkeypatch.setattr(console, "_width", columns)
            monkeypatch.setattr(console, "_color_system", ColorSystem.STANDARD)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            if name in SHOWN:
                SHOWN[name]()
            else:
                Path("mine.toml").unlink(missing_ok=True)
                with pytest.raises(SystemExit):
                    typer.main.get_command(app).main(CALLED[name], prog_name="compacter")
        return terminal.getvalue()

    return shown


def plain(text):
    lines = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", text).replace("\r", "").splitlines()
    return "".join(f"{line.rstrip()}\n" for line in lines)


@pytest.mark.parametrize("name", [*CALLED, *SHOWN])
def test_a_screen_is_as_it_is_kept_and_breaks_no_word_and_has_few_colours(screen, kept, name):
    if name.startswith("help") and not typer.__version__.startswith(HELP_IS_OF):
        pytest.skip(f"help is laid out by Typer, and kept of its {HELP_IS_OF}")
    endless = screen(name, ENDLESS)
    words = {*plain(endless).split()}
    assert {code for style in STYLE.findall(endless) for code in style.split(";")} <= READABLE
    for columns in WIDTHS:
        text = plain(screen(name, columns))
        kept(HERE / str(columns) / f"{name}.txt", text)
        broken = {*text.split()} - words - {"\\"}
        assert not [word for word in broken if set(word) - set("━╸╺█─")], name
        assert [line for line in text.splitlines() if len(line) > columns and " " in line] == []


def luminance(colour):
    parts = (part / 255 for part in colour)
    linear = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", [DEFAULT_TERMINAL_THEME, SVG_EXPORT_THEME], ids=["light", "dark"])
@pytest.mark.parametrize("number", [1, 5])  # red, magenta
def test_colours_can_be_read_on_a_light_and_on_a_dark_ground(theme, number):
    ground, letter = luminance(theme.background_color), luminance(theme.ansi_colors[number])
    least, most = sorted((ground, letter))
    assert (most + 0.05) / (least + 0.05) >= 3  # W3C's least for signs and large letters

"""What every command shows on terminals of 80 and 120 columns, kept as text: pytest --rewrite.

Commands that take long show figures of `recorded/`, which are made up. A screen is the same
on a dark and on a light ground: what colours there are can be read on both.
"""

import io
import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

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
    sweep_words,
    train,
)
from compacter_cli.commands.console import err, out
from compacter_cli.main import COMMANDS, app
from compacter_cli.recipe.recipe import load_recipe

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures"
RUN = "runs/demo/smoke/compacterpp/mine"
WIDTHS = (80, 120)
ENDLESS = 5_000  # columns, in which nothing need be broken
STYLE = re.compile("\x1b\\[([0-9;]*)m")
READABLE = {"", "0", "1", "31", "35", "90"}  # bold, red, magenta; a bar's ground

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
    return recorded("result")


def show_progress():
    from compacter_cli.commands.progress import Live

    live = Live(err)
    live.start(15_000, done=4_000)
    live.update(SimpleNamespace(step=4_001, loss=0.4321, learning_rate=3e-3))
    err.print(live._bar.get_renderable())
    live.stop()


def swept():
    """A sweep of two runs, one of which failed."""
    sweep = SimpleNamespace(title="Every method on the demo tasks", name="demo")
    return SimpleNamespace(sweep=sweep, lines=recorded("index"), directory=Path("runs/sweeps/demo"))


SHOWN = {
    "train": lambda: train.show_result(result()),
    "train-progress": show_progress,
    "evaluate": lambda: evaluate.show(recorded("evaluation")),
    "predict": lambda: predict.show(recorded("answers")),
    "demo": lambda: demo.show(
        {
            "compacterpp": result(),
            "full": {**result(), "method": "full", "trained_parameters": 1_545_088},
            "answers": recorded("told"),
        }
    ),
    "profile": lambda: profile.show(recorded("profile")),
    "pretrain": lambda: pretrain.show_result(recorded("pretrained")),
    "convert": lambda: convert_words.show(
        recorded("converted"), load_recipe("demo/sentiment_lora")
    ),
    "convert-backbone": lambda: convert_words.show_backbone(recorded("converted-backbone")),
    "data-status-whole": lambda: data_status.show_status(recorded("status"), Path("data")),
    "data-prepare": lambda: data_prepare.show_prepared(recorded("prepared"), Path("data")),
    "sweep": lambda: sweep_words.show_sweep(swept()),
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
def test_a_screen_is_as_it_is_kept_and_breaks_no_word(screen, kept, name):
    if name.startswith("help") and not typer.__version__.startswith(HELP_IS_OF):
        pytest.skip(f"help is laid out by Typer, and kept of its {HELP_IS_OF}")
    words = {*plain(screen(name, ENDLESS)).split()}
    for columns in WIDTHS:
        text = plain(screen(name, columns))
        kept(HERE / str(columns) / f"{name}.txt", text)
        broken = {*text.split()} - words - {"\\"}
        assert not [word for word in broken if set(word) - set("━╸╺█─")], name
        assert [line for line in text.splitlines() if len(line) > columns and " " in line] == []


@pytest.mark.parametrize("name", ["error-settings", "train", "train-progress", "report", "profile"])
def test_colours_are_few_and_the_terminals_own(screen, name):
    codes = {code for style in STYLE.findall(screen(name, 80)) for code in style.split(";")}
    assert codes <= READABLE


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

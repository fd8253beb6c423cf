import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import compacter_cli
from compacter_cli.commands import recipes, train, validate
from compacter_cli.errors import (
    CompacterError,
    MissingResourceError,
    Problem,
    RecipeError,
    UsageError,
)
from compacter_cli.main import app

COMMANDS = [
    "train",
    "evaluate",
    "predict",
    "demo",
    "pretrain",
    "count-params",
    "profile",
    "validate",
    "data",
    "recipes",
]


def call(*args):
    return CliRunner().invoke(app, list(args))


def raising(error):
    def function(*args, **kwargs):
        raise error

    return function


def test_the_version_is_that_of_the_package():
    result = call("--version")
    assert result.exit_code == 0
    assert result.stdout == f"compacter {compacter_cli.__version__}\n"


def test_the_module_is_the_program_and_starts_without_a_framework():
    code = (
        "import sys; sys.argv = ['compacter', '--version']; import runpy\n"
        "try: runpy.run_module('compacter_cli', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "print(sorted({'keras', 'torch', 'numpy', 'tensorflow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == f"compacter {compacter_cli.__version__}\n[]\n", done.stderr


def test_no_arguments_show_the_help():
    result = call()
    assert result.exit_code == 2
    for name in COMMANDS:
        assert name in result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_with_an_example(name):
    result = call(name, "--help")
    assert result.exit_code == 0
    assert "Usage:" in result.stdout
    assert call(name, "-h").stdout == result.stdout
    if name not in ("recipes", "data"):
        assert f"compacter {name}" in result.stdout


def test_the_commands_are_exactly_those_documented():
    assert sorted(typer.main.get_command(app).commands) == sorted(COMMANDS)


@pytest.mark.parametrize(
    "args",
    [
        ["--vresion"],
        ["trian"],
        ["train", "--recipe", "demo/smoke_compacterpp", "--epochs", "3"],
        ["train"],
        ["recipes", "lits"],
        ["train", "--recipe", "demo/smoke_compacterpp", "--seed", "many"],
    ],
)
def test_what_cannot_be_parsed_exits_2(args):
    result = call(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CompacterError("it broke", "mend it"), 1),
        (UsageError("that is wrong", "do this"), 2),
        (MissingResourceError("it is not here", "get it"), 3),
        (CompacterError("no hint [bold]here[/bold]"), 1),
    ],
)
def test_a_known_error_is_one_line_with_the_next_step_and_a_code(monkeypatch, error, code):
    monkeypatch.setattr(train, "load_recipe", raising(error))
    result = call("train", "--recipe", "x")
    assert result.exit_code == code
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    expected = [f"error: {error}"] + ([f"next: {error.hint}"] if error.hint else [])
    assert [" ".join(line.split()) for line in result.stderr.splitlines()] == expected


def test_a_long_error_stays_on_its_line(monkeypatch):
    monkeypatch.setattr(train, "load_recipe", raising(UsageError("x " * 300 + "end", "y " * 300)))
    lines = call("train", "--recipe", "x").stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("x end")


def test_the_problems_of_a_recipe_are_a_table(monkeypatch):
    problems = [Problem("train.epoch", "unknown key", "epochs?"), Problem("method.n", "no divisor")]
    monkeypatch.setattr(validate, "load_any", raising(RecipeError("my.toml", problems)))
    result = call("validate", "--recipe", "my.toml")
    assert result.exit_code == 2
    assert "error: 2 problems in my.toml" in result.stderr
    for text in ("train.epoch", "unknown key", "epochs?", "method.n", "no divisor"):
        assert text in result.stderr


@pytest.mark.parametrize(
    ("message", "said"), [("", "interrupted"), ("interrupted; saved in x", None)]
)
def test_ctrl_c_exits_130_without_a_traceback(monkeypatch, message, said):
    monkeypatch.setattr(train, "load_recipe", raising(KeyboardInterrupt(message)))
    result = call("train", "--recipe", "x")
    assert result.exit_code == 130
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    assert result.stderr.strip() == (said or message)


def test_errors_of_nested_commands_are_known_too(monkeypatch):
    monkeypatch.setattr(recipes, "list_recipes", raising(UsageError("nothing there")))
    result = call("recipes", "list")
    assert result.exit_code == 2
    assert "error: nothing there" in result.stderr


def test_an_error_that_nobody_foresaw_is_not_hidden(monkeypatch):
    monkeypatch.setattr(train, "load_recipe", raising(ZeroDivisionError("a bug")))
    result = call("train", "--recipe", "x")
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)

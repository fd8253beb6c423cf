import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

import compacter_cli
from compacter_cli import main
from compacter_cli.commands import recipes
from compacter_cli.errors import (
    CompacterError,
    Interrupted,
    MissingResourceError,
    Problem,
    RecipeError,
    UsageError,
)
from compacter_cli.main import app, load_command

COMMANDS = [
    "train",
    "evaluate",
    "predict",
    "serve",
    "convert",
    "demo",
    "pretrain",
    "sweep",
    "report",
    "count-params",
    "profile",
    "validate",
    "data",
    "recipes",
]


LOAD_RECIPE = "compacter_cli.recipe.recipe.load_recipe"


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
    assert list(typer.main.get_command(app).commands) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_of_a_command_what_the_command_says_of_itself(name):
    command = load_command(name)
    assert command.name == name
    assert command.help.partition("\n")[0] == main.COMMANDS[name]


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["trian"]])
def test_no_command_is_imported_to_list_them(words):
    code = (
        "import sys; from compacter_cli.main import main\n"
        f"sys.argv = ['compacter', *{words!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "loaded = {name for name in sys.modules if name.startswith('compacter_cli.commands.')}\n"
        "loaded -= {f'compacter_cli.commands.{name}' for name in ('streams', 'console', 'lines')}\n"
        "print(sorted(loaded), 'pydantic' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.endswith("[] False\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_a_command_imports_no_other_and_little_of_its_own(name):
    code = (
        "import sys; from compacter_cli.main import main\n"
        f"sys.argv = ['compacter', {name!r}, '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"others = {COMMANDS!r}; others.remove({name!r})\n"
        "heavy = ('pydantic', 'rich.table', 'rich.progress', 'compacter_cli.tasks', "
        "'compacter_cli.methods', 'compacter_cli.recipe.recipe')\n"
        "wanted = {'demo': ['train']}.get(sys.argv[1], [])  # the demo trains twice\n"
        "names = [f'compacter_cli.commands.{n.replace(chr(45), chr(95))}' for n in others "
        "if n not in wanted]\n"
        "print([name for name in (*names, *heavy) if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "[]\n"


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
    monkeypatch.setattr(LOAD_RECIPE, raising(error))
    result = call("train", "--recipe", "x")
    assert result.exit_code == code
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    expected = [f"error: {error}"] + ([f"next: {error.hint}"] if error.hint else [])
    assert [" ".join(line.split()) for line in result.stderr.splitlines()] == expected


def test_a_long_error_stays_on_its_line(monkeypatch):
    monkeypatch.setattr(LOAD_RECIPE, raising(UsageError("x " * 300 + "end", "y " * 300)))
    lines = call("train", "--recipe", "x").stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].endswith("x end")


def test_the_problems_of_a_recipe_are_a_table(monkeypatch):
    problems = [Problem("train.epoch", "unknown key", "epochs?"), Problem("method.n", "no divisor")]
    monkeypatch.setattr(LOAD_RECIPE, raising(RecipeError("my.toml", problems)))
    result = call("validate", "--recipe", "demo/smoke_compacterpp")
    assert result.exit_code == 2
    assert "error: 2 problems in my.toml" in result.stderr
    for text in ("train.epoch", "unknown key", "epochs?", "method.n", "no divisor"):
        assert text in result.stderr


@pytest.mark.parametrize(
    ("message", "said"), [("", "interrupted"), ("interrupted; saved in x", None)]
)
def test_ctrl_c_exits_130_without_a_traceback(monkeypatch, message, said):
    monkeypatch.setattr(LOAD_RECIPE, raising(KeyboardInterrupt(message)))
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
    monkeypatch.setattr(LOAD_RECIPE, raising(ZeroDivisionError("a bug")))
    result = call("train", "--recipe", "x")
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


# --json: errors are read by machines, too.


def told(*args):
    """What a failing command with --json tells on stderr, and its exit code; stdout is empty."""
    result = call(*args, "--json")
    assert result.stdout == ""
    return json.loads(result.stderr.splitlines()[-1]), result.exit_code


@pytest.mark.parametrize(
    "error",
    [
        CompacterError("it broke\nhere", "mend it"),
        UsageError("that is wrong"),
        MissingResourceError("größe \x1b[2J is not here", "get it"),
    ],
)
def test_an_error_is_a_line_of_json_on_stderr(monkeypatch, error):
    monkeypatch.setattr(LOAD_RECIPE, raising(error))
    found, code = told("validate", "--recipe", "demo/smoke_compacterpp")
    said = str(error).replace("\n", " ")
    assert found == {"error": said, "next": error.hint, "exit_code": error.exit_code}
    assert code == error.exit_code


def test_the_problems_of_a_recipe_are_a_list(monkeypatch):
    problems = [Problem("train.epoch", "unknown key", "epochs?"), Problem("method.n", "no divisor")]
    monkeypatch.setattr(LOAD_RECIPE, raising(RecipeError("my.toml", problems)))
    found, code = told("validate", "--recipe", "demo/smoke_compacterpp")
    assert found == {
        "error": "2 problems in my.toml",
        "next": None,
        "exit_code": 2,
        "problems": [
            {"key": "train.epoch", "problem": "unknown key", "next": "epochs?"},
            {"key": "method.n", "problem": "no divisor", "next": None},
        ],
    }
    assert code == 2


@pytest.mark.parametrize(
    ("args", "error", "hint"),
    [
        (["trian"], "No such command 'trian'", "--help"),
        (["train"], "Missing option '--recipe'", "train --help"),
        (["train", "--seed", "many"], "Invalid value for '--seed'", "train --help"),
        (["recipes", "lits"], "No such command 'lits'", "recipes --help"),
        (["train", "--recipe", "a", "-r", "b"], "--recipe takes one value", "leave out"),
    ],
)
def test_what_cannot_be_parsed_is_json_too(args, error, hint):
    found, code = told(*args)
    assert (found["exit_code"], code) == (2, 2)
    assert error in found["error"]
    assert hint in found["next"]


def test_what_cannot_be_parsed_is_said_as_any_other_error():
    error, hint = call("train", "--epoxy", "3").stderr.splitlines()
    assert error.startswith("error: No such option: --epoxy")
    assert hint.startswith("next: ")
    assert hint.endswith("train --help")


def test_a_key_of_the_recipe_given_as_an_option_is_told_as_set():
    result = call("train", "--recipe", "x", "--epochs", "3")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "next: --set train.epochs=VALUE"


def test_hints_say_compacter_however_it_was_started():
    command = [sys.executable, "-P", "-m", "compacter_cli", "train", "--nonsense"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.stderr.splitlines()[-1] == "next: compacter train --help"


def test_a_signal_is_json_too(monkeypatch):
    monkeypatch.setattr(LOAD_RECIPE, raising(Interrupted("interrupted; saved in x", 15)))
    found, code = told("train", "--recipe", "x")
    assert found == {"error": "interrupted; saved in x", "next": None, "exit_code": 143}
    assert code == 143


def test_the_command_that_goes_on_with_what_was_interrupted_is_next_in_json(monkeypatch):
    monkeypatch.setattr(LOAD_RECIPE, raising(Interrupted("interrupted", 2, "compacter x --resume")))
    found, code = told("train", "--recipe", "x")
    assert found == {"error": "interrupted", "next": "compacter x --resume", "exit_code": 130}
    assert code == 130


def test_after_two_dashes_json_is_a_name():
    assert call("recipes", "show", "--", "--json").stderr.startswith("error: ")

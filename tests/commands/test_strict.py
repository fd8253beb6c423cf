"""A second value for an option that takes one is refused, whatever the command."""

import pytest
import typer
from typer.testing import CliRunner

from compacter_cli.commands.strict import Command
from compacter_cli.main import COMMANDS, app, load_command


def leaves(command):
    inside = getattr(command, "commands", None)
    return [leaf for one in inside.values() for leaf in leaves(one)] if inside else [command]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_strict(name):
    assert all(isinstance(leaf, Command) for leaf in leaves(load_command(name)))


@pytest.mark.parametrize(
    "args", [["--recipe", "a", "--recipe", "b"], ["-r", "a", "--recipe=b"], ["-ra", "-ra"]]
)
def test_a_second_value_is_refused_and_named(args):
    result = CliRunner().invoke(app, ["validate", *args])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: --recipe takes one value, and has more\n")


def test_what_is_repeatable_and_flags_may_be_repeated():
    args = ["--set", "seed=1", "--set", "train.epochs=1", "--json", "--json"]
    result = CliRunner().invoke(app, ["validate", "-r", "demo/smoke_compacterpp", *args])
    assert result.exit_code == 0, result.stderr


@pytest.mark.parametrize(("command", "option"), [("train", "--recipe"), ("evaluate", "--run")])
def test_a_recipe_or_a_run_without_its_option_is_told_so(command, option):
    result = CliRunner().invoke(app, [command, "a b"])
    assert result.exit_code == 2
    assert result.stderr == f"error: a b: expected {option} before it\nnext: {option} 'a b'\n"


def test_arguments_are_counted_by_typer_itself():
    lone = typer.Typer()
    lone.command(cls=Command)(lambda what: None)
    assert "unexpected extra argument" in CliRunner().invoke(lone, ["a", "b"]).stderr

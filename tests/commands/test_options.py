"""The commands are one language, and lists are taken where a list is meant."""

import pytest
import typer
from typer.testing import CliRunner

from compacter_cli.commands.options import parts, whole_numbers
from compacter_cli.errors import UsageError
from compacter_cli.main import COMMANDS, app, load_command

# What is meant, where from, where to, how it is computed, what machines read.
ORDER = (
    "--run", "--adapter", "--method", "--backbone", "--which", "--recipe",
    "--output", "--resume", "--overwrite", "--dry-run", "--estimate",
    "--batch-size", "--device", "--threads", "--offline", "--json",
)  # fmt: skip
CHOICES = ("--as", "--format", "--precision", "--split")  # which Typer lists


def options_of(command):
    """The options of a command and of its subcommands: lists of them, those that are shown."""
    inner = getattr(command, "commands", {})
    if inner:
        return [found for one in inner.values() for found in options_of(one)]
    shown = command.get_params(typer.Context(command))
    return [[option for option in shown if option.opts[0][0] == "-" and not option.hidden]]


def test_an_option_takes_a_value_of_the_same_name_wherever_it_is():
    words = {}
    for name in COMMANDS:
        for option in (one for found in options_of(load_command(name)) for one in found):
            option_name = max(option.opts, key=len)
            if not option.is_flag and option_name not in CHOICES:
                words.setdefault(option_name, set()).add(option.metavar)
    assert None not in {word for found in words.values() for word in found}
    assert {key: found for key, found in words.items() if len(found) > 1} == {
        "--output": {"DIR", "FILE"}
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_options_stand_in_the_same_order_everywhere(name):
    for found in options_of(load_command(name)):
        names = [max(option.opts, key=len) for option in found]
        asked = [one for one in names if one in ORDER]
        assert asked == sorted(asked, key=ORDER.index)


@pytest.mark.parametrize(
    ("args", "now"),
    [
        (["report", "runs", "--format", "csv"], "--as csv"),
        (["report", "runs", "--format", "json"], "--json"),
        (["profile", "--batch", "8"], "--batch-size 8"),
        (["evaluate", "--run", "r", "--adapter", "last"], "--which last"),
    ],
)
def test_a_former_name_says_the_new_one(args, now):
    result = CliRunner().invoke(app, args)
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        f"error: {args[-2]} is called {now.split()[0]} now", f"next: {now}"
    ]  # fmt: skip


def test_parts_are_split_at_commas_and_stripped():
    assert parts(["a,b", " c "]) == ["a", "b", "c"]
    assert parts(["a,"]) == ["a", ""]  # which the command refuses as it does any unknown name
    assert parts([]) is None
    assert parts(None) is None


def test_whole_numbers():
    assert whole_numbers("--n", ["4,8", "12"]) == [4, 8, 12]
    assert whole_numbers("--n", None) is None
    for wrong in ("4,x", "4,", "1.5"):
        with pytest.raises(UsageError, match=f"^--n {wrong}: expected whole numbers") as caught:
            whole_numbers("--n", [wrong])
        assert caught.value.hint == "such as --n 4,8,12"

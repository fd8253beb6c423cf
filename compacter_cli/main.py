"""The `compacter` program: its subcommands, and errors turned into one line and an exit code."""

import gc
import os
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from compacter_cli.errors import CompacterError

# Each command with its line of help. Its module, of the same name in commands/, is imported when
# the command is called: --help of all, or of one, must not wait for the others.
COMMANDS = {
    "train": "Train an adapter from a recipe, keep the best epoch, and test it.",
    "evaluate": "Score a run's adapter on a split, beside what the run itself recorded.",
    "predict": "Answer texts with a run's adapter, with every label's probability.",
    "demo": "Adapt a small pretrained T5 by Compacter++ and by full fine-tuning, and compare.",
    "pretrain": "Pretrain a small T5 from random weights on plain text, by T5's span corruption.",
    "count-params": "Count the parameters that each method trains, beside the paper's figures.",
    "profile": "Measure training steps of the methods, on random weights, "
    "against full fine-tuning.",
    "validate": "Check a recipe and print it with every default filled in.",
    "data": "Prepare the published tasks and see what is there.",
    "recipes": "List, show and copy the shipped recipes.",
}


def load_command(name: str) -> Any:
    """The click command called `name`, from its module: its `app`, or its function `command`."""
    module = import_module(f"compacter_cli.commands.{name.replace('-', '_')}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command(name)(module.command)
    app.rich_markup_mode = None
    command = typer.main.get_command(app)
    command.name = name
    return command


class Commands(TyperGroup):
    """Loads the command that is called, and turns known errors into one line and an exit code.

    Exit codes: 1, 2 or 3 by the error, and 130 after Ctrl-C.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = dict.fromkeys(COMMANDS)  # their names; what they are, `get_command` loads

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        # To look at a flag that has no default, Typer imports pydantic, whatever is called.
        for parameter in self.get_params(ctx):
            if getattr(parameter, "is_flag", False) and parameter.default is None:
                parameter.default = False
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return load_command(cmd_name) if cmd_name in COMMANDS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CompacterError as error:
            from compacter_cli.commands.console import show_error

            show_error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as interrupt:
            from compacter_cli.commands.console import err

            err.print(str(interrupt) or "interrupted", soft_wrap=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(show: bool) -> None:
    if show:
        from compacter_cli import __version__

        typer.echo(f"compacter {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Fine-tune T5 by training a fraction of a percent of it.

    Start with: compacter demo
    """


def main() -> None:
    """Run the command line."""
    # Pydantic would look through all installed packages for plugins, which nothing here wants.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        app()
    finally:
        gc.freeze()  # the end: what is still there need not be searched for cycles

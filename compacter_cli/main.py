"""The `compacter` program: its subcommands, and errors turned into one line and an exit code."""

import typer
from typer.core import TyperGroup

from compacter_cli.commands import (
    count_params,
    data,
    demo,
    evaluate,
    predict,
    pretrain,
    profile,
    recipes,
    train,
    validate,
)
from compacter_cli.commands.console import err, out, show_error
from compacter_cli.errors import CompacterError


class Commands(TyperGroup):
    """Turns known errors into one line: exit code 1, 2 or 3, and 130 after Ctrl-C."""

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except CompacterError as error:
            show_error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt as interrupt:
            err.print(str(interrupt) or "interrupted", soft_wrap=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)


def _version(show: bool):
    if show:
        from compacter_cli import __version__

        out.print(f"compacter {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
):
    """Fine-tune T5 by training a fraction of a percent of it.

    Start with: compacter demo
    """


app.command("train")(train.command)
app.command("evaluate")(evaluate.command)
app.command("predict")(predict.command)
app.command("demo")(demo.command)
app.command("pretrain")(pretrain.command)
app.command("count-params")(count_params.command)
app.command("profile")(profile.command)
app.command("validate")(validate.command)
app.add_typer(data.app, name="data")
app.add_typer(recipes.app, name="recipes")


def main():
    """Run the command line."""
    app()

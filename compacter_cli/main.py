"""The `compacter` program: its subcommands, and errors turned into one line and an exit code."""

import errno
import gc
import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from compacter_cli.commands.streams import Machine, UnreadError, guard_streams, visible
from compacter_cli.errors import CompacterError, Interrupted, ToldElsewhereError, UsageError

# What a machine refuses whoever asks, and no fault of the program: one line wherever it comes.
REFUSALS = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE,
)  # fmt: skip

# Each command with its line of help. Its module, of the same name in commands/, is imported when
# the command is called: --help of all, or of one, must not wait for the others.
COMMANDS = {
    "train": "Train an adapter from a recipe, keep the best epoch, and test it.",
    "evaluate": "Score a run's adapter on a split, beside what the run itself recorded.",
    "predict": "Answer texts with a run's adapter, with every label's probability.",
    "serve": "Answer over HTTP with one or more adapters, which are loaded onto one backbone.",
    "convert": "Write a T5 or a trained adapter in the format of another program, in float32.",
    "demo": "Adapt a small pretrained T5 by Compacter++ and by full fine-tuning, and compare.",
    "pretrain": "Pretrain a small T5 from random weights on plain text, by T5's span corruption.",
    "sweep": "Run a comparison: every task, arm, setting and seed of a sweep; "
    "finished runs are kept.",
    "report": "Look at a sweep, at a run, or compare runs: scores, noise, figures.",
    "count-params": "Count the parameters that each method trains, beside the paper's figures.",
    "profile": "Measure training steps of the methods, on random weights, "
    "against full fine-tuning.",
    "validate": "Check a recipe and print it with every default filled in.",
    "data": "Prepare the published tasks and see what is there.",
    "recipes": "List, show and copy the shipped recipes.",
}


def load_command(name: str) -> Any:
    """The click command called `name`, from its module: its `app`, or its function `command`."""
    from compacter_cli.commands.strict import Command

    module = import_module(f"compacter_cli.commands.{name.replace('-', '_')}")
    app = getattr(module, "app", None)
    if app is None:
        app = typer.Typer(add_completion=False)
        app.command(name, cls=Command)(module.command)
    app.rich_markup_mode = None
    command = typer.main.get_command(app)
    command.name = name
    return command


class Commands(TyperGroup):
    """Loads the command that is called, and turns known errors into one line and an exit code.

    Exit codes: 1, 2 or 3 by the error, 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP;
    141 where nobody reads standard output any more.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = dict.fromkeys(COMMANDS)  # their names; see get_command

    def main(self, *args: Any, **settings: Any) -> Any:
        try:
            return super().main(*args, **settings)
        finally:
            Machine.listens(())  # what else this process says is not of that command line

    def make_context(
        self, info_name: str | None, args: list[str], *rest: Any, **settings: Any
    ) -> Any:
        Machine.listens(args)
        with _said_in_a_line():
            return super().make_context(info_name, args, *rest, **settings)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _check_encoded(args)
        # To look at a flag that has no default, Typer imports pydantic, whatever is called.
        for parameter in self.get_params(ctx):
            if getattr(parameter, "is_flag", False) and parameter.default is None:
                parameter.default = False
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if cmd_name != "train" and "WORLD_SIZE" in os.environ:
            from compacter_cli.training.joining import check_alone

            check_alone(cmd_name)
        return load_command(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: Any) -> Any:
        with _said_in_a_line():
            return super().invoke(ctx)


@contextmanager
def _said_in_a_line() -> Iterator[None]:
    """Turn known errors inside, and Ctrl-C, into a line on stderr and an exit code."""
    try:
        yield
    except CompacterError as error:
        raise _ended(error) from None
    except KeyboardInterrupt as interrupt:
        from compacter_cli.commands.console import show_interrupt

        code = getattr(interrupt, "exit_code", 130)
        show_interrupt(interrupt, code)
        raise typer.Exit(code) from None
    except OSError as error:
        if error.errno not in REFUSALS:
            raise
        raise _ended(_refused(error)) from None
    except Exception as error:
        if not _is_of_the_line(error):
            raise
        raise _ended(_misunderstood(error)) from None


def _is_of_the_line(error: Any) -> bool:
    """Whether Typer says that a command line cannot be understood; not its help, an error too."""
    return hasattr(error, "format_message") and not error.message.startswith("Usage:")


def _misunderstood(error: Any) -> CompacterError:
    """What Typer itself says of a command line, in this program's way."""
    context = error.ctx
    hint = f"{context.command_path} --help" if context else None
    return UsageError(visible(error.format_message()), _recipe_key_meant(error) or hint)


def _recipe_key_meant(error: Any) -> str | None:
    """`--set` of a recipe's key that was given as an option of its own, such as --epochs."""
    option = getattr(error, "option_name", None)  # there is none of that name
    if not option or not {"recipe", "set_"} <= {one.name for one in error.ctx.command.params}:
        return None
    from compacter_cli.commands.completion import settings

    word = option.lstrip("-").replace("-", "_")
    keys = [key for key in settings(error.ctx, "") if key.strip("=").rpartition(".")[2] == word]
    return " or ".join(f"--set {key}VALUE" for key in keys) or None


def _ended(error: CompacterError) -> typer.Exit:
    from compacter_cli.commands.console import show_error

    if not isinstance(error, ToldElsewhereError | UnreadError):
        show_error(error)
    return typer.Exit(error.exit_code)


def _refused(error: OSError) -> CompacterError:
    """What the machine refused, as an error of one line; too long a name is one of usage."""
    kind = UsageError if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else CompacterError
    where = f"{error.filename}: " if error.filename is not None else ""
    return kind(f"{where}{error.strerror}")


def _check_encoded(args: Iterable[str]) -> None:
    """Refuse bytes that are no text: no file of a run could hold them."""
    for arg in args:
        try:
            arg.encode()
        except UnicodeEncodeError as error:
            raise UsageError(
                f"{arg}: expected UTF-8, got a byte that is none at character {error.start}",
                "rename the file, or type it in UTF-8",
            ) from None


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


def _end_in_a_line() -> None:
    """Let SIGTERM and SIGHUP end a command as Ctrl-C does, where they are not ignored."""

    def end(signum: int, _frame: object) -> None:
        raise Interrupted(signum=signum)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)


def _end_at_once() -> None:
    """Let signals end the process without a word: nothing is at stake any more."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)


def main() -> None:
    """Run the command line."""
    # Pydantic would look through all installed packages for plugins, which nothing here wants.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    guard_streams()
    _end_in_a_line()
    try:
        app(prog_name="compacter")  # however it was started: what hints say
    finally:
        _end_at_once()
        gc.freeze()  # the end: what is still there need not be searched for cycles

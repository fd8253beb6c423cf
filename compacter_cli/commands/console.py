"""The two rich consoles: results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NotRequired, TextIO

from rich.console import Console
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.commands.streams import Machine, visible
from compacter_cli.errors import CompacterError, Interrupted, RecipeError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType

    from rich.table import Table
    from rich.text import Text


class PlainConsole(Console):
    """A console that shows every text as it is, and obeys nothing in it.

    No markup, no emoji: texts of users and TOML sections hold brackets and colons of their own.
    """

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:  # of lines, and of a table's cells
        return super().render_str(visible(text), **options)


out, err = PlainConsole(), PlainConsole(stderr=True)


class Told(TypedDict):
    """An error as `--json` tells it: a line on stderr, the last one. `next` is what to do about it.

    `problems` are those of a recipe, all of them; `exit_code` is what the program ends with.
    """

    error: str
    next: str | None
    exit_code: int
    problems: NotRequired[list[ToldProblem]]


class ToldProblem(TypedDict):
    """One thing wrong with a recipe: its dotted key, what is wrong, and what to do, if that is
    known."""

    key: str
    problem: str
    next: str | None


def show_error(error: CompacterError) -> None:
    """Print a `CompacterError` to stderr: its problems as a table or its one line, and the hint.

    A line of JSON where a machine reads it.
    """
    if Machine.reads:
        tell_machine(as_told(error))
        return
    err.print("error:", style="bold red", end=" ")
    err.print(_message(error), soft_wrap=True)
    if isinstance(error, RecipeError):
        table = table_of("key", "problem", "hint")
        for problem in error.problems:
            table.add_row(problem.key, problem.message, problem.hint)
        err.print(table)
    if error.hint:
        err.print("next:", style="bold", end=" ")
        err.print(_one_line(error.hint), soft_wrap=True)


def _message(error: CompacterError) -> str:
    """What is wrong, in a line; how many problems, where there is a list of them."""
    if not isinstance(error, RecipeError):
        return _one_line(error)
    count = len(error.problems)
    return f"{count} problem{'s' * (count != 1)} in {error.source}"


def as_told(error: CompacterError) -> Told:
    """An error as plain data."""
    told: Told = {
        "error": _message(error),
        "next": error.hint and _one_line(error.hint),
        "exit_code": error.exit_code,
    }
    if isinstance(error, RecipeError):
        told["problems"] = [
            {"key": problem.key, "problem": problem.message, "next": problem.hint or None}
            for problem in error.problems
        ]
    return told


def tell_machine(told: Told) -> None:
    """Print an error as a line of JSON to stderr; stdout is for results alone."""
    sys.stderr.write(_json(told, sys.stderr) + "\n")
    sys.stderr.flush()


def show_interrupt(interrupt: BaseException, exit_code: int) -> None:
    """Print that a signal ended the command, and what is left of its work."""
    said = _one_line(interrupt) or "interrupted"
    if Machine.reads:
        tell_machine({"error": said, "next": None, "exit_code": exit_code})
    else:
        err.print(said, soft_wrap=True)


def show_note(sentence: str) -> None:
    """Print a sentence to stderr that a reader should know but need not act on."""
    err.print("note:", style="yellow", end=" ")
    err.print(_one_line(sentence), soft_wrap=True)


def show_dim(line: str) -> None:
    """Print what is being done to stderr, less loud than a note."""
    err.print(line, style="dim", soft_wrap=True)


def _one_line(text: object) -> str:
    """A text without its newlines: what a file says must not pass for another line of ours."""
    return str(text).replace("\n", " ")


def table_of(*columns: str, numbers: Collection[str] = (), tight: bool = False) -> Table:
    """An empty table with the house's look; the columns named in `numbers` align right.

    `tight` leaves one space between columns instead of two, for tables of many numbers.
    """
    from rich.table import Table

    padding = (0, 1, 0, 0) if tight else (0, 1)
    table = Table(box=None, pad_edge=False, padding=padding, header_style="bold")
    for column in columns:
        right = column in numbers
        table.add_column(column, justify="right" if right else "left", no_wrap=right or tight)
    return table


def print_json(value: object) -> None:
    """Print `value` as JSON to stdout, with nothing else around it.

    Letters stay as they are, but for those that a terminal obeys or the stream cannot encode.
    """
    sys.stdout.write(_json(value, sys.stdout, indent=2) + "\n")
    sys.stdout.flush()  # here, where a disk that is full is still an error of this command


def _json(value: object, stream: TextIO, indent: int | None = None) -> str:
    """`value` as JSON that a stream can take."""
    text = visible(json.dumps(value, indent=indent, ensure_ascii=False))
    try:
        text.encode(getattr(stream, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent)
    return text


def start_frameworks(quiet: bool = False, silent: bool = False, threads: int | None = None) -> None:
    """Hide TensorFlow and start Keras for a command that goes on to train, which says so.

    `silent` leaves the telling to another process, of a signal too.
    """
    if not quiet and not silent:
        err.print("loading torch and keras ...", style="dim")
    load_frameworks(silent, threads)


def load_frameworks(silent: bool = False, threads: int | None = None) -> None:
    """Hide TensorFlow and start Keras, on so many CPU `threads` or torch's own choice.

    Ctrl-C meanwhile ends the process, which tells of it.
    """
    from compacter_cli.t5.runtime import hide_tensorflow, start_keras, use_threads

    with signals_end_the_process(silent):
        hide_tensorflow()
        start_keras()
        use_threads(threads)


@contextmanager
def signals_end_the_process(silent: bool = False) -> Iterator[None]:
    """Ctrl-C inside exits 130 on the spot, SIGTERM 143, for where nothing is at stake yet.

    A KeyboardInterrupt in the midst of an import is turned into other errors by C extensions, or
    left to be raised again when the interpreter ends.
    """
    from compacter_cli.training.signals import handled

    told = os.dup(2)  # stderr is silenced while the frameworks load

    def end(signum: int, _frame: FrameType | None) -> None:
        if not silent:
            with suppress(OSError):
                os.write(told, _last_words(Interrupted(signum=signum)))
        os._exit(128 + signum)

    try:
        with handled(end):
            yield
    finally:
        os.close(told)


def _last_words(interrupt: Interrupted) -> bytes:
    if not Machine.reads:
        return f"{interrupt}\n".encode()
    told: Told = {"error": str(interrupt), "next": None, "exit_code": interrupt.exit_code}
    return f"{json.dumps(told)}\n".encode()

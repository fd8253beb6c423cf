"""The two rich consoles: results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import re
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn, NotRequired, TextIO

from rich.console import Console
from rich.theme import Theme
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.commands.lines import wrapped, wrapped_command
from compacter_cli.commands.streams import Machine, visible
from compacter_cli.errors import CompacterError, Interrupted, RecipeError, counted

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from types import FrameType

    from rich.table import Table
    from rich.text import Text


_COMMAND = re.compile("([^:]{1,40}: )?compacter [a-z-]+ .*")  # maybe behind a label


class PlainConsole(Console):
    """A console that shows every text as it is, and obeys nothing in it.

    No markup, no emoji: texts of users and TOML sections hold brackets and colons of their own.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, theme=_theme(), **settings)

    def render_str(self, text: str, **options: Any) -> Text:  # of lines, and of a table's cells
        return super().render_str(visible(text), **options)

    def say(self, text: str, style: str = "") -> None:
        """Print a sentence, or several lines of them: on a terminal no word of it is broken.

        A command to copy that is broken stays one for a shell. Elsewhere a line stays a line.
        """
        if self.is_terminal:
            text = "\n".join(_fitted(line, self.width) for line in text.split("\n"))
        self.print(text, style=style, soft_wrap=True)

    def say_labelled(self, label: str, style: str, text: str) -> None:
        """Print a sentence behind a label, such as `error:`, which has a style."""
        from rich.text import Text

        line = visible(f"{label} {_one_line(text)}")
        shown = Text(_fitted(line, self.width) if self.is_terminal else line)
        shown.stylize(style, 0, len(label))
        self.print(shown, soft_wrap=True)


def _theme() -> Theme:
    """The few styles that there are: of the terminal's own colours those that can be read on its
    dark and on its light ground, and the letters' own wherever a colour says nothing."""
    own = ("progress.remaining", "progress.download")
    bar = dict.fromkeys(("bar.complete", "bar.finished", "bar.pulse"), "magenta")
    return Theme({**dict.fromkeys(own, "none"), **bar, "bar.back": "bright_black"})


def _fitted(line: str, columns: int) -> str:
    """A line that breaks no word: a command, behind a label or alone, as a shell reads it."""
    if _COMMAND.fullmatch(line):
        return wrapped_command(line, columns)
    return wrapped(line, columns, " " * (len(line) - len(line.lstrip())))


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
    err.say_labelled("error:", "bold red", _message(error))
    if isinstance(error, RecipeError):
        table = table_of("key", "problem", "hint")
        for before, problem in zip((None, *error.problems), error.problems, strict=False):
            same = before is not None and problem.hint and problem.hint == before.hint
            table.add_row(problem.key, problem.message, "as above" if same else problem.hint)
        err.print(table)
    if error.hint:
        err.say_labelled("next:", "bold", error.hint)


def _message(error: CompacterError) -> str:
    """What is wrong, in a line; how many problems, where there is a list of them."""
    if not isinstance(error, RecipeError):
        return _one_line(error)
    return f"{counted(len(error.problems), 'problem')} in {error.source}"


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
    if Machine.reads:
        tell_machine(_interrupt_told(interrupt, exit_code))
    else:
        err.say(_one_line(interrupt) or "interrupted")


def _interrupt_told(interrupt: BaseException, exit_code: int) -> Told:
    said, command = str(interrupt), None
    if isinstance(interrupt, Interrupted):
        said, command = interrupt.said, interrupt.command
    return {"error": _one_line(said) or "interrupted", "next": command, "exit_code": exit_code}


def show_note(sentence: str) -> None:
    """Print a sentence to stderr that a reader should know but need not act on."""
    err.say_labelled("note:", "bold", sentence)


def _one_line(text: object) -> str:
    """A text without its newlines: what a file says must not pass for another line of ours."""
    return str(text).replace("\n", " ")


def table_of(*columns: str, numbers: Collection[str] = ()) -> Table:
    """An empty table with the house's look; the columns named in `numbers` align right.

    Texts are folded between words where the table is too wide.
    """
    from compacter_cli.commands.word_table import WordTable

    table = WordTable(box=None, pad_edge=False, padding=(0, 1), header_style="bold")
    for column in columns:
        right = column in numbers
        justify = "right" if right else "left"
        table.add_column(column, justify=justify, no_wrap=right, overflow="fold")
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
        err.say("loading torch and keras ...")
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


def end_as_it_stands(interrupt: Interrupted) -> NoReturn:
    """Tell of a signal, and end the process on the spot: a thread still computes in torch.

    Where Python ends, such a thread aborts the process, and its exit code would be that of a crash.
    """
    try:
        show_interrupt(interrupt, interrupt.exit_code)
        sys.stdout.flush()
    finally:  # whatever came of the words, another signal too
        os._exit(interrupt.exit_code)


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
    return f"{json.dumps(_interrupt_told(interrupt, interrupt.exit_code))}\n".encode()

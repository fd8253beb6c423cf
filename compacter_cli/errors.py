"""Errors a user can act on: what was expected, what came, what to do next; and words for them."""

import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

Value = TypeVar("Value")
_WORDS: dict[int, str] = {signal.SIGTERM: "terminated", signal.SIGHUP: "ended with its terminal"}


class CompacterError(Exception):
    """A run that failed. `hint` is the next step, which a traceback shows too; exit code 1."""

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(f"next: {hint}")


class NotFiniteError(CompacterError):
    """Training came to a loss or gradient that is no number."""


class Interrupted(KeyboardInterrupt):
    """A signal ended the process: Ctrl-C, SIGTERM or SIGHUP. Exit code 128 and its number.

    Args:
        message: what is left of its work.
        signum: number of the signal.
        command: goes on with that work.
    """

    def __init__(
        self, message: str = "", signum: int = signal.SIGINT, command: str | None = None
    ) -> None:
        self.said, self.command = message or _WORDS.get(signum, "interrupted"), command
        super().__init__(f"{self.said}; go on with: {command}" if command else self.said)
        self.signum = signum
        self.exit_code = 128 + signum


class UsageError(CompacterError):
    """A command or recipe that cannot be carried out as written. Exit code 2."""

    exit_code = 2


class ToldElsewhereError(CompacterError):
    """A failure of several processes that another one of them tells: this one ends without a word.

    Args:
        exit_code: the other's.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__("another process has failed, and tells why")
        self.exit_code = exit_code


class MissingResourceError(CompacterError):
    """Data or weights that are neither here nor to be had offline. Exit code 3."""

    exit_code = 3


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe: the dotted key, what is wrong, and what to do.

    `short` says it in a few characters, for a table's cell.
    """

    key: str
    message: str
    hint: str = ""
    short: str = ""


class RecipeError(UsageError):
    """A recipe with one or more problems, all of them listed."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        lines = [
            f"{p.key}: {p.message}" + (f" ({p.hint})" if p.hint else "") for p in self.problems
        ]
        super().__init__(f"{source}: " + "; ".join(lines))

    def __reduce__(self) -> tuple[type, tuple[str, tuple[Problem, ...]]]:
        return type(self), (self.source, self.problems)  # from one process to another


class Named(dict[str, Value]):
    """What there is by name; asked for another name, it says the nearest one, or all.

    Args:
        what: what has the names, such as "method".
        entries: what there is.
    """

    def __init__(self, what: str, entries: Mapping[str, Value]) -> None:
        super().__init__(entries)
        self.what = what

    def __missing__(self, name: object) -> NoReturn:
        raise UsageError(f'unknown {self.what} "{excerpt(name)}"', nearest_or_all(name, self))


def counted(count: int, name: str) -> str:
    """How many there are of something that is called so: "1 run", "2 runs", "1,000 processes"."""
    return f"{count:,} {name}" + ("" if count == 1 else "es" if name.endswith("s") else "s")


def were(count: int) -> str:
    """The verb behind a count: 1 of them was, 2 were."""
    return "was" if count == 1 else "were"


def excerpt(value: object, most: int = 80) -> str:
    """A value out of a file, for a message: of bounded length, and nothing a terminal obeys."""
    import reprlib

    text = value if isinstance(value, str) else reprlib.repr(value)
    shown = (letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[:most])
    return "".join(shown) + ("…" if len(text) > most else "")


def flaw_of(text: str) -> str | None:
    """What makes a text one that no vocabulary, file or path can hold, in words, or `None`."""
    if "\0" in text:
        return "holds a NUL character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "is not UTF-8: it holds half of a surrogate pair"
    return None


def user_path(text: str | os.PathLike[str]) -> Path:
    """The path that a user wrote, its `~` expanded.

    Raises:
        UsageError: it names the home of a user who does not exist, or is no UTF-8: the files of a
            run, which are, say where everything was.
    """
    if flaw := flaw_of(os.fspath(text)):
        raise UsageError(f"the path {excerpt(str(text))} {flaw}", "rename it")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise UsageError(f"{text}: {error}") from None


def absolute(path: str | os.PathLike[str]) -> str:
    """The absolute path of what a user wrote."""
    return str(user_path(path).absolute())


def nearest_or_all(word: object, known: Iterable[object], said: str = "known") -> str:
    """The hint for a name that is none of `known`: `did you mean "x"?`, or all: `known: x, y`.

    `said` is what stands before the list, such as "known tasks".
    """
    known = [str(name) for name in known]
    return did_you_mean(word, known) or f"{said}: {', '.join(known)}"


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """`did you mean "x"?` for the nearest of `known`, or an empty string."""
    near = nearest(word, known)
    return f'did you mean "{near[0]}"?' if near else ""


def nearest(word: object, known: Iterable[object], most: int = 1) -> list[str]:
    """The names of `known` that may have been meant, `most` at most, the likeliest first."""
    from difflib import get_close_matches

    return get_close_matches(str(word), [str(name) for name in known], n=most, cutoff=0.6)

"""What a process prints: escapes are shown, not obeyed, and a stream may be closed or full."""

import io
import itertools
import os
import re
import sys
from typing import TYPE_CHECKING, TextIO

from compacter_cli.errors import CompacterError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed import ReadableBuffer

# What a terminal obeys rather than shows: control characters but for tab and newline, and the signs
# that turn the direction of a text. Lone surrogates are no characters: no stream can write them.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_SIZE = re.compile("[1-9][0-9]{0,3}")  # columns or lines


def visible(text: str) -> str:
    r"""`text` with what a terminal would obey written as TOML and JSON write it, such as `\u001b`.

    The text may come from a file, a recipe or an adapter of someone else's: it must not colour,
    clear or retitle the terminal of who looks at it, or hide a part of itself.
    """
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


class Machine:
    """Whether a machine reads what is said: the command line asks for JSON.

    Known before the line is understood, for what cannot be understood is told as JSON, too.
    """

    reads = False

    @classmethod
    def listens(cls, args: "Iterable[str]") -> None:
        """Find out from a command line."""
        cls.reads = "--json" in itertools.takewhile("--".__ne__, args)


class OutputLostError(CompacterError):
    """Standard output takes nothing more: its disk is full, or it is closed."""


class UnreadError(CompacterError):
    """Who reads standard output has seen enough, as `| head` has: the command ends without a word.

    Exit code 141, which a shell gives whatever ends so (128 and the number of SIGPIPE).
    """

    exit_code = 141


class _Results(io.FileIO):
    """Standard output: what it does not take is an error, said once; later writes go nowhere."""

    _lost = False

    def write(self, data: "ReadableBuffer", /) -> int | None:
        if self._lost:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except BrokenPipeError:
            self._lost = True
            raise UnreadError("nobody reads standard output any more") from None
        except OSError as error:
            self._lost = True
            raise OutputLostError(
                f"cannot write to standard output: {error.strerror}",
                "send it elsewhere; files that were written are whole",
            ) from error


class _Remarks(io.FileIO):
    """Standard error: what it does not take is lost.

    Progress and notes are no results: hours of training must not end because the terminal was
    closed, `| head` has seen enough, or the disk of a log is full.
    """

    def write(self, data: "ReadableBuffer", /) -> int | None:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def guard_streams() -> None:
    """Put streams that fail as a program can bear in the place of this process's own.

    Called twice, or where someone has put other streams in their place, it changes nothing.
    """
    _forget_no_sizes()
    _fill_closed()
    if sys.stdout is sys.__stdout__:
        sys.stdout = _over(_Results(1, "w", closefd=False), sys.stdout, "replace")
    if sys.stderr is not None and sys.stderr is sys.__stderr__:
        sys.stderr = _over(_Remarks(2, "w", closefd=False), sys.stderr, "backslashreplace")


def _forget_no_sizes() -> None:
    """Unset a COLUMNS or LINES that is no size: with COLUMNS=0 rich would print nothing."""
    for name in ("COLUMNS", "LINES"):
        if not _SIZE.fullmatch(os.environ.get(name, "1")):
            del os.environ[name]


def _fill_closed() -> None:
    """Open what of 0, 1 and 2 is closed, for reading: the next file opened would become it."""
    while (descriptor := os.open(os.devnull, os.O_RDONLY)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)


def _over(raw: io.FileIO, like: TextIO | None, errors: str) -> io.TextIOWrapper:
    """A text stream over `raw` that encodes and flushes as `like`, which may be closed, does.

    What its encoding lacks (a bar's block, in ASCII) is replaced and not raised: `errors`.
    """
    lines = getattr(like, "line_buffering", False) or getattr(like, "write_through", False)
    encoding = like.encoding if like else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=lines
    )

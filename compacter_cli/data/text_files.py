"""Files of text: read line by line, and faults named by file and line."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compacter_cli.errors import CompacterError

# Characters of a line. A T5 reads 65,536 tokens at most, some 300,000 characters; a tokenizer takes
# fifty times the memory of what it is given.
LONGEST_LINE = 1 << 23
MARK = b"\xef\xbb\xbf"  # of byte order, which some programs put before UTF-8
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # what UTF-16 begins with, as Excel's "Unicode text" does


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Inside, a file that cannot be read is a `CompacterError` that names it."""
    try:
        yield
    except OSError as error:
        raise CompacterError(
            f"cannot read {path}: {error.strerror or error}", "give a file that can be read"
        ) from error


def read_bytes(path: Path, limit: int) -> bytes:
    """The bytes of a file of at most `limit`.

    Raises:
        CompacterError: it cannot be read, or is larger.
    """
    with reading(path), open(path, "rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise CompacterError(f"{path} has more than {limit:,} bytes", "is it the right file?")
    return data


def read_text(path: Path) -> str:
    """A UTF-8 file's text, without a byte-order mark, every line ended by a plain newline.

    Raises:
        CompacterError: as of `read_lines`.
    """
    return "".join(line for _, line in read_lines(path))


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """`(number, line)` of every line of a UTF-8 file, its end a plain newline.

    A byte-order mark is no part of it. Lines end at a newline, a carriage return or both, and not
    where `str.splitlines` would break too, at separators that belong to a text.

    Raises:
        CompacterError: it cannot be read, is not UTF-8, or a line holds a NUL or is longer than
            `LONGEST_LINE`; the line is named.
    """
    for number, _, _, line in placed_lines(path):
        yield number, line


def placed_lines(path: Path) -> Iterator[tuple[int, int, int, str]]:
    """`(number, start, end, line)` of every line as `read_lines` gives it: where its bytes are."""
    number = 0
    try:
        with (
            reading(path),
            open(path, "rb") as data,
            io.TextIOWrapper(data, "utf-8-sig", newline="") as file,
        ):
            end = len(MARK) if data.peek(len(MARK)).startswith(MARK) else 0
            while line := file.readline(LONGEST_LINE + 2):
                number += 1
                start, end = end, end + (len(line) if line.isascii() else len(line.encode()))
                text = plain(line)
                _check_line(path, number, text)
                yield number, start, end, text
    except UnicodeDecodeError as error:
        raise CompacterError(
            f"{path}, line {_first_undecodable_line(path)}: not UTF-8 ({error.reason})",
            f"convert the file to UTF-8 (iconv -f {_likely_encoding(path)} -t utf-8), or take the "
            "original again",
        ) from error


def plain(text: str) -> str:
    """A text with plain newlines where there are others."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _check_line(path: Path, number: int, line: str) -> None:
    if len(line.removesuffix("\n")) > LONGEST_LINE:
        raise CompacterError(
            f"{path}, line {number}: longer than {LONGEST_LINE:,} characters",
            "cut it: of a text the model reads the beginning",
        )
    if "\0" in line:
        raise CompacterError(
            f"{path}, line {number}: holds a NUL character", "is it text, in UTF-8?"
        )


def _first_undecodable_line(path: Path) -> int | str:
    with open(path, "rb") as file:
        # No line before it has more bytes, or reading would not have come here.
        parts = iter(lambda: file.readline(4 * LONGEST_LINE + 1), b"")
        for number, line in enumerate(parts, 1):
            try:
                line.decode("utf-8-sig")
            except UnicodeDecodeError:
                return number
    return "?"


def _likely_encoding(path: Path) -> str:
    """What a file that is not UTF-8 is most likely written in: latin1 is cp1252 in all letters."""
    with open(path, "rb") as file:
        return "utf-16" if file.read(2) in _WIDE else "cp1252"


def sha256_of(path: Path) -> str:
    """sha256 of a file's bytes, as hexadecimal digits.

    Raises:
        CompacterError: it cannot be read.
    """
    with reading(path), open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

"""Sentences, bars, and commands to copy, as lines that fit a terminal and break no word."""

from __future__ import annotations

import re
import shutil
import sys
from textwrap import TextWrapper
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

_WORD = re.compile(r"""(?: [^\s'"] | '[^']*' | "[^"]*" | ['"] )+""", re.VERBOSE)  # of a shell


def width() -> int:
    """Columns of the terminal, as COLUMNS has them, or as many as it has; 80 without one."""
    return shutil.get_terminal_size().columns


def is_terminal(stream: TextIO | None) -> bool:
    """Whether people look at a stream; what reads a file or a pipe wants a sentence in one line."""
    return stream is not None and stream.isatty()


def wrapped(text: str, columns: int, indent: str = "") -> str:
    """A sentence as lines of at most so many columns, but for words that are longer.

    `indent` begins every line but the first.
    """
    wrapper = TextWrapper(
        columns, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
        replace_whitespace=False, drop_whitespace=True,
    )  # fmt: skip
    return "\n".join(wrapper.wrap(text)) or text


def wrapped_command(text: str, columns: int) -> str:
    r"""A command as lines that a shell takes for one, each but the last ending in `\`.

    What stands in quotes stays together.
    """
    lines, line = [], ""
    for word in _WORD.findall(text):
        longer = f"{line} {word}" if line else word
        if line.strip() and len(longer) > columns - 2:  # the sign that it goes on, and its space
            lines.append(line)
            longer = f"    {word}"
        line = longer
    return " \\\n".join([*lines, line])


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a sentence to stdout, or another stream: at once, without what rich would load."""
    stream = sys.stdout if stream is None else stream
    print(wrapped(text, width()) if is_terminal(stream) else text, file=stream)


def bar_chart(values: Mapping[str, float], width: int = 40) -> list[str]:
    """A line of text a value from 0 to 100: its name, a bar of at most `width` blocks, itself."""
    longest = max(map(len, values))
    return [
        f"{name:{longest}}  {'█' * round(width * max(value, 0) / 100):{width}}  {value:6.2f}"
        for name, value in values.items()
    ]

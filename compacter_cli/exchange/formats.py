"""The formats that a run's adapter is converted to: one table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from compacter_cli.errors import UsageError, excerpt, nearest_or_all
from compacter_cli.exchange import keras_hub

if TYPE_CHECKING:
    from compacter_cli.exchange.trained import Trained, Written


class Format(NamedTuple):
    """A format.

    Attributes:
        words: what is written, in a line of help.
        write: writes what is given into an empty folder, and says what came of it.
    """

    words: str
    write: Callable[[Trained, Path], Written]


FORMATS = {"keras-hub": Format("a plain KerasHub preset, the adapter folded in", keras_hub.write)}


def format_named(name: str) -> Format:
    """The `Format` called `name`.

    Raises:
        UsageError: there is none.
    """
    if name not in FORMATS:
        raise UsageError(f"--to {excerpt(name)}: no such format", nearest_or_all(name, FORMATS))
    return FORMATS[name]

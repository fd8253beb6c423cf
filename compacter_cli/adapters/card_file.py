"""The card beside an adapter's files: whether it is as it was written, or somebody's own."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from compacter_cli.files import read_file

if TYPE_CHECKING:
    from pathlib import Path

CARD = "README.md"  # for people, and no part of the adapter
_BYTES = 1_000_000  # of one that is read again
_SIGNED = re.compile(rb"(.*)<!-- compacter wrote this: ([0-9a-f]{64}) -->\n", re.DOTALL)


def signed(text: str) -> str:
    """A card's text, with the mark by which it is known until somebody edits it."""
    return f"{text}<!-- compacter wrote this: {_digest(text.encode())} -->\n"


def edited(directory: Path) -> bytes | None:
    """The card in a directory that somebody has edited; `None` where there is none.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no file, too large, or a link to elsewhere.
    """
    path = directory / CARD
    if not path.exists():
        return None
    data = read_file(path, _BYTES)
    found = _SIGNED.fullmatch(data)
    is_ours = found is not None and found[2].decode() == _digest(found[1])
    return None if is_ours else data


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()

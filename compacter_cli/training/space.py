"""Room on a disk for what a training will save, looked at before its first update."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError
from compacter_cli.files import free_bytes, size_text

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.training.display import Display


def check_space(directory: Path, once: int, most: int, display: Display) -> None:
    """Refuse to begin what could not be saved once, and say what may not fit later.

    Args:
        directory: where it is saved.
        once: bytes of one save.
        most: bytes of all that is ever there at a time.
        display: what is told.

    Raises:
        CompacterError: there is no room for one save.
    """
    free = free_bytes(directory)
    if free < once:
        raise CompacterError(
            f"{directory}: a save takes {size_text(once)}, {size_text(free)} are free",
            "free some space, or choose another --output",
        )
    if free < most:
        display.line(
            f"space is short: the run may take {size_text(most)}, {size_text(free)} are free"
        )

"""A run's log file: what was said while it went on, a line with its time; no run fails for it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LOG = "log.txt"
MOST = 1_000_000  # bytes; of one that is longer the newer half stays


class LogFile:
    """Lines of a run's `log.txt`, each with its time; those of before it is opened wait for it."""

    def __init__(self) -> None:
        self._file: IO[bytes] | None = None
        self._waiting: list[bytes] = []

    def open(self, directory: Path) -> None:
        """Go on with the log of a run's directory, or begin it; another's is closed."""
        self.close()
        waiting, self._waiting = self._waiting, []
        with suppress(OSError):
            self._file = open(directory / LOG, "a+b", 0, opener=_no_link)  # noqa: SIM115 - see close
        for line in waiting:
            self._write(line)

    def add(self, text: str) -> None:
        """Write a text with the time; what the disk does not take is lost."""
        now = time.strftime("%Y-%m-%d %H:%M:%S%z")
        for part in text.splitlines():
            line = f"{now} {part}\n".encode("utf-8", "backslashreplace")
            self._write(line) if self._file else self._waiting.append(line)

    def _write(self, line: bytes) -> None:
        with suppress(OSError):
            if self._file is not None:
                self._file.write(line)
                if self._file.tell() > MOST:
                    _keep_newer_half(self._file)

    def close(self) -> None:
        """Let the file go."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _no_link(path: str, flags: int) -> int:
    """Open a file of a directory that somebody else may have filled: it is not led elsewhere."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


def _keep_newer_half(file: IO[bytes]) -> None:
    file.seek(-MOST // 2, 2)
    file.readline()  # the rest of a line
    kept = file.read()
    file.truncate(0)  # what is appended goes to the end, wherever that is
    file.write(kept)

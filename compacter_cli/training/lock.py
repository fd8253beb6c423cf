"""A directory that one process writes: a lock of the file system, which ends with its holder."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path
from typing import Self

from compacter_cli.errors import CompacterError, UsageError

LOCK = ".lock"
# A file system that knows no locks, as some network ones: there is none to take then.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
# A link may lead to anybody's file, which is not to be emptied.
_FLAGS = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class Lock:
    """The lock of a directory, held from `take` to `release` or to the end of the process.

    The file in which it is also tells who holds it; that it is there means nothing by itself.

    Args:
        directory: it must be there.

    Attributes:
        certain: whether the file system knows locks; where it does not, none is taken.
    """

    def __init__(self, directory: Path) -> None:
        self.path = Path(directory) / LOCK
        self.certain = True
        self._file: int | None = None
        self._directory: os.stat_result | None = None

    def take(self) -> Self:
        """Take it, from a process that died too.

        Raises:
            UsageError: another process holds it.
        """
        while True:
            file = os.open(self.path, _FLAGS | os.O_CREAT, 0o666)
            try:
                self.certain = _lock(file, self.path)
                if _same(file, self.path):  # else its holder has just removed it
                    self._directory = os.stat(self.path.parent)
                    os.ftruncate(file, 0)
                    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
                    self._file = file
                    return self
            finally:
                if self._file != file:
                    os.close(file)

    def check(self) -> None:
        """Make sure that the directory is still the one whose lock was taken.

        Where only the lock's file was removed, it is taken anew.

        Raises:
            CompacterError: it was removed, or another is in its place.
            UsageError: another process has taken it meanwhile.
        """
        if self._file is not None and _same(self._file, self.path):
            return
        if self._file is None or not self._is_there():
            raise CompacterError(
                f"{self.path.parent} was removed, or replaced, while it was written to",
                "if it was moved, go on there with --resume; if not, choose another --output",
            )
        os.close(self._file)
        self._file = None
        self.take()

    def _is_there(self) -> bool:
        """Whether the directory itself is still in its place."""
        try:
            now = os.stat(self.path.parent)
        except OSError:
            return False
        return self._directory is not None and os.path.samestat(now, self._directory)

    def release(self) -> None:
        """Give it back, if it is held; the file goes with it."""
        if self._file is None:
            return
        if _same(self._file, self.path):
            self.path.unlink()
        os.close(self._file)
        self._file = None


def check_free(directory: Path) -> None:
    """Raise `UsageError` if a process holds the lock of `directory` now; nothing is taken."""
    try:
        file = os.open(directory / LOCK, _FLAGS)
    except OSError:  # none, or none that this user could take
        return
    try:
        _lock(file, directory / LOCK)
    finally:
        os.close(file)


def _lock(file: int, path: Path) -> bool:
    """Lock an open file, if the file system can: whether it could."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NO_LOCKS:
            return False
        holder = os.pread(file, 20, 0).decode(errors="replace").strip()
        raise UsageError(
            f"{path.parent} is being written by another process"
            + (f" ({holder})" if holder.isdigit() else ""),
            "wait for it, end it, or choose another --output",
        ) from error
    return True


def _same(file: int, path: Path) -> bool:
    """Whether an open file is the one at `path`."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    return os.path.samestat(os.fstat(file), there)

"""Which of several processes tells why the run ends: the first to end, and it alone."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING

from compacter_cli.errors import ToldElsewhereError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

ENDED = "compacter/ended"  # in the store: rank and exit code of the first to end before the run


def leave_the_telling(store: Store, rank: int, code: int) -> None:
    """Return where this process is the first to end, and so the one that tells why.

    Raises:
        ToldElsewhereError: another one was first.
    """
    own = f"{rank} {code}"
    try:
        first = store.compare_set(ENDED, "", own).decode()
    except RuntimeError:  # its process is gone
        first = own
    teller, its_code = map(int, first.split())
    if teller != rank:
        raise ToldElsewhereError(its_code) from None
    ignore_the_launcher()


def ignore_the_launcher() -> None:
    """Let nothing cut short how this process ends: the launcher ends whoever is left."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

"""How far a run is that another process trains, by what it writes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

from compacter_cli.files import parse_json
from compacter_cli.training.claim import METRICS
from compacter_cli.training.lock import LOCK

if TYPE_CHECKING:
    from pathlib import Path

TAIL = 4_096  # bytes of metrics.jsonl, some ten lines
SKEW = 120.0  # seconds by which clocks of machines may differ


class Followed(NamedTuple):
    """How far a run is.

    Attributes:
        update: the latest, 0 before the first.
        loss: before it; `None` where it was not finite, or before the first.
        since: when it was first looked at, in seconds of this machine's clock, and at which update.
    """

    update: int
    loss: float | None
    since: tuple[float, int]

    def seconds_left(self, updates: int | None, now: float) -> float | None:
        """Seconds to the last of `updates` at the pace so far; `None` before there is one."""
        began, first = self.since
        if updates is None or self.update <= first:
            return None
        return (now - began) / (self.update - first) * (updates - self.update)


def follow(run: Path, began: float, before: Followed | None = None) -> Followed | None:
    """How far the run in a directory is, `None` where no process has written it since `began`."""
    try:
        if os.stat(run / LOCK).st_mtime < began - SKEW:
            return None
    except OSError:
        return None
    update, loss = _latest(run / METRICS)
    since = before.since if before else (time.time(), update)
    return Followed(update, loss, since)


def _latest(path: Path) -> tuple[int, float | None]:
    """The number and loss of the latest update in a metrics.jsonl."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read(TAIL).splitlines()
    except OSError:
        return 0, None
    for line in reversed(lines):
        try:
            entry = parse_json(line)
            if entry["kind"] == "update":
                return int(entry["step"]), entry["loss"]
        except (ValueError, KeyError, TypeError):
            continue  # half a line, at either end
    return 0, None

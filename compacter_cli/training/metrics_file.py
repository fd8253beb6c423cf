"""metrics.jsonl, of a run or a pretraining: lines are added, waited for, and cut to go on."""

import math
from pathlib import Path
from typing import Any

from compacter_cli.files import append_json, parse_json, sync, write_text, writing
from compacter_cli.training.claim import METRICS


def append_metrics(directory: Path, **entry: Any) -> None:
    """Add a line to metrics.jsonl: an `UpdateLine`, an `EpochLine`, or pretraining's own."""
    append_json(Path(directory) / METRICS, entry)


def sync_metrics(directory: Path) -> None:
    """Wait until the lines of metrics.jsonl are on the disk: what is saved next says that they are.

    Raises:
        CompacterError: the disk does not take them.
    """
    path = Path(directory) / METRICS
    if path.is_file():
        with writing(path):
            sync(path)


def cut_metrics(directory: Path, step: int, epochs: float = math.inf) -> None:
    """Take out of metrics.jsonl what a run that goes on after `step` will write again.

    Of the epochs' lines those of the first `epochs` stay.

    Raises:
        CompacterError: the file cannot be written.
    """
    path = directory / METRICS
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    kept = [line for line in text.splitlines() if _is_before(line, step, epochs)]
    write_text(path, "".join(f"{line}\n" for line in kept))


def _is_before(line: str, step: int, epochs: float) -> bool:
    """Whether a line is of what was done; not half a line, of a process killed while writing."""
    try:
        entry = parse_json(line)
        return entry["step"] <= step and entry.get("number", 0) <= epochs
    except (ValueError, KeyError, TypeError, AttributeError):
        return False

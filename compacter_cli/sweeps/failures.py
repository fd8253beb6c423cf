"""What a sweep's directory keeps of runs that fail: what their workers said, and the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compacter_cli.files import read_json, remove_any, write_json

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.sweeps.records import Outcome

RUNS, LOGS, FAILED = "runs", "logs", "failed"


def log_of(directory: Path, run: str) -> Path:
    """Where a run's workers write what they say."""
    return directory / LOGS / f"{run.removeprefix(f'{RUNS}/')}.log"


def _failure_file(directory: Path, run: str) -> Path:
    return directory / FAILED / f"{run.removeprefix(f'{RUNS}/')}.json"


def write_failure(directory: Path, run: str, outcome: Outcome) -> None:
    """Note that a run failed, and why."""
    path = _failure_file(directory, run)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, outcome)


def read_failure(directory: Path, run: str) -> dict[str, Any] | None:
    """Why a run failed, `None` where it did not."""
    try:
        found = read_json(_failure_file(directory, run))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        return {"error": f"it failed, and the note of why is damaged: {error}"}
    return found if isinstance(found, dict) else {"error": "it failed, and nobody noted why"}


def forget_failure(directory: Path, run: str) -> None:
    """Let a run that failed be one that is to be run."""
    path = _failure_file(directory, run)
    if path.exists():
        remove_any(path)

"""A sweep read from its directory: its file, and a line of every run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import TypeAdapter, ValidationError

from compacter_cli.errors import CompacterError
from compacter_cli.files import parse_json
from compacter_cli.recipe.tables import read_tables
from compacter_cli.sweeps.records import IndexLine
from compacter_cli.sweeps.sections import Sweep

SWEEP, INDEX = "sweep.toml", "index.jsonl"


@dataclass(frozen=True)
class SweepState:
    """A sweep and its runs; `problems` says what of them could not be read."""

    sweep: Sweep
    lines: list[IndexLine]
    problems: tuple[str, ...] = ()


def is_sweep(directory: Path) -> bool:
    return (directory / SWEEP).is_file()


def read_sweep(directory: Path) -> SweepState:
    """The sweep in a directory.

    Raises:
        CompacterError: its file is damaged.
    """
    path = directory / SWEEP
    try:
        sweep = Sweep.model_validate(read_tables(str(path))[1])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise CompacterError(f"{path} is damaged: {where}: {first['msg']}") from None
    lines, damaged = _lines(directory / INDEX)
    problem = f"{directory / INDEX}: {damaged} damaged lines are left out"
    return SweepState(sweep, lines, (problem,) if damaged else ())


def _lines(path: Path) -> tuple[list[IndexLine], int]:
    """The whole lines of an index, and how many are damaged."""
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    adapter = TypeAdapter(IndexLine)
    lines, damaged = [], 0
    for line in text.splitlines():
        try:
            lines.append(cast(IndexLine, adapter.validate_python(parse_json(line))))
        except (ValueError, RecursionError):  # pydantic's own error is a ValueError
            damaged += 1
    return lines, damaged

"""The two rich consoles: results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from rich.console import Console

from compacter_cli.errors import CompacterError, RecipeError

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.table import Table

# No markup, no emoji: texts of users and TOML sections hold brackets and colons of their own.
out = Console(highlight=False, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, markup=False, emoji=False)


def show_error(error: CompacterError) -> None:
    """Print a `CompacterError` to stderr: its problems as a table or its one line, and the hint."""
    err.print("error:", style="bold red", end=" ")
    if isinstance(error, RecipeError):
        problems = error.problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        err.print(f"{count} in {error.source}", soft_wrap=True)
        table = table_of("key", "problem", "hint")
        for problem in problems:
            table.add_row(problem.key, problem.message, problem.hint)
        err.print(table)
    else:
        err.print(str(error), soft_wrap=True)
    if error.hint:
        err.print("next:", style="bold", end=" ")
        err.print(error.hint, soft_wrap=True)


def show_note(sentence: str) -> None:
    """Print a sentence to stderr that a reader should know but need not act on."""
    err.print("note:", style="yellow", end=" ")
    err.print(sentence, soft_wrap=True)


def table_of(*columns: str, numbers: Collection[str] = (), tight: bool = False) -> Table:
    """An empty table with the house's look; the columns named in `numbers` align right.

    `tight` leaves one space between columns instead of two, for tables of many numbers.
    """
    from rich.table import Table

    padding = (0, 1, 0, 0) if tight else (0, 1)
    table = Table(box=None, pad_edge=False, padding=padding, header_style="bold")
    for column in columns:
        right = column in numbers
        table.add_column(column, justify="right" if right else "left", no_wrap=right or tight)
    return table


def print_json(value: object) -> None:
    """Print `value` as JSON to stdout, with nothing else around it."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def start_frameworks(quiet: bool = False) -> None:
    """Hide TensorFlow and start Keras for a command that goes on to train, which says so."""
    from compacter_cli.t5.runtime import hide_tensorflow, start_keras

    if not quiet:
        err.print("loading torch and keras ...", style="dim")
    hide_tensorflow()
    start_keras()

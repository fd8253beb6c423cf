"""The paper's Tables 1 and 2 as rows beside ours."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING, NamedTuple

from compacter_cli.paper.tables import ScoreTable, paper_tables
from compacter_cli.tasks import TASKS

if TYPE_CHECKING:
    from compacter_cli.paper.tables import ScoreRow
    from compacter_cli.sweeps.sections import Sweep

BENCHMARKS: dict[str, tuple[ScoreTable, str]] = {
    "table1": ("table1", "glue"),
    "table2": ("table2", "super_glue"),
}


class PaperRow(NamedTuple):
    """What the paper reports of an arm on the tasks of a sweep.

    Attributes:
        n: the hypercomplex division of the row, if it has one.
        total: its "#Total params", as printed.
        percent: what it trains, as printed.
        scores: one or two numbers by task; a task that the paper lacks is left out.
        average: the flat mean over all numbers in `scores`, not rounded.
        printed: the average that the paper prints, where `scores` has all of its tasks.
    """

    n: int | None
    total: float | str
    percent: float
    scores: dict[str, list[float]]
    average: float
    printed: float | None


def paper_row(sweep: Sweep, arm: str) -> PaperRow | None:
    """The paper's row of an arm that is called as a method; `None` where the sweep has no table."""
    if sweep.paper not in BENCHMARKS:
        return None
    table, benchmark = BENCHMARKS[sweep.paper]
    row = paper_tables()[table].get(arm)
    scores = _scores(row, benchmark, sweep.tasks) if row else {}
    return _row(row, scores) if row and scores else None


def _row(row: ScoreRow, scores: dict[str, list[float]]) -> PaperRow:
    whole = len(scores) == len(row["scores"]) - 1  # one of them is the average
    return PaperRow(
        n=row.get("n"),
        total=row["total_params"],
        percent=row["trained_percent"],
        scores=scores,
        average=fmean(score for found in scores.values() for score in found),
        printed=_numbers(row["scores"]["avg"])[0] if whole else None,
    )


def _scores(row: ScoreRow, benchmark: str, tasks: list[str]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for name in tasks:
        task = TASKS.get(name)
        if task and name.startswith(f"{benchmark}/") and task.paper in row["scores"]:
            found[name] = _numbers(row["scores"][task.paper])
    return found


def _numbers(score: float | list[float]) -> list[float]:
    return score if isinstance(score, list) else [score]

"""Scores as tables: each metric in a row, beside what it compares with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.commands.console import table_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.table import Table

    from compacter_cli.training.records import Result, ScoresRecord


def result_table(result: Result) -> Table:
    """A result as a table: each metric before and after training, beside what it compares with."""
    test, measured = result["test"], result["measured"]
    return _table_of_scores(
        test,
        {
            "untrained": _all_metrics(result["before"]),
            "validation": _all_metrics(result["validation"]),
            "test": _all_metrics(test),
            "majority (test)": test["majority"],
            "full fine-tuning": measured["full"] if measured else {},
            "paper (T5-base)": _by_metric(test, result["paper"]),
        },
    )


def scores_table(scores: ScoresRecord, paper: Sequence[float] | None) -> Table:
    """Scores of one split as a table, beside the majority's and the paper's."""
    return _table_of_scores(
        scores,
        {
            "score": _all_metrics(scores),
            "majority": scores["majority"],
            "paper (T5-base)": _by_metric(scores, paper),
        },
    )


def _table_of_scores(scores: ScoresRecord, columns: Mapping[str, Mapping[str, float]]) -> Table:
    """A row a metric, a column each that has scores at all; a dash where one lacks the metric."""
    columns = {title: values for title, values in columns.items() if values}
    table = table_of("metric", *columns, numbers=tuple(columns))
    for name in _all_metrics(scores):
        cells = [values.get(name) for values in columns.values()]
        table.add_row(name, *("-" if cell is None else f"{cell:.2f}" for cell in cells))
    return table


def _all_metrics(scores: ScoresRecord | None) -> dict[str, float]:
    """Metrics and those that stand beside them; empty where there are no scores."""
    return {**scores["metrics"], **scores.get("beside", {})} if scores else {}


def _by_metric(scores: ScoresRecord, paper: Sequence[float] | None) -> dict[str, float]:
    return dict(zip(scores["metrics"], paper, strict=True)) if paper else {}

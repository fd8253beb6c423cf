"""Several runs as a report: how their recipes differ, their scores, and what is more than noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import counted
from compacter_cli.reports.curves import curves_figure
from compacter_cli.reports.pairs import compare_pairs
from compacter_cli.reports.report import Picture, Report
from compacter_cli.reports.table import ABSENT, Column, Entry, Row, Table, best_of, number, words
from compacter_cli.reports.verdicts import MOST_TOLD, conclusions, table_of_tests
from compacter_cli.section import differences, value_at
from compacter_cli.training.run_directory import FREE

if TYPE_CHECKING:
    from compacter_cli.reports.pairs import Answers
    from compacter_cli.reports.runs import RunView
    from compacter_cli.training.records import Result

MEAN = "mean"
# Keys by which the same rows are other texts, or are cut elsewhere.
OF_TEXTS = (
    "data.prefix", "data.source", "data.target", "data.labels", "data.source_length",
    "data.target_length",
)  # fmt: skip


def report_of_runs(
    runs: Sequence[RunView], answers: Answers, say: Callable[[str], None] = lambda line: None
) -> Report:
    """The report of several runs; `say` is called before what takes its time."""
    named = dict(zip(letters(len(runs)), runs, strict=True))
    compared = compare_pairs(named, answers, say)
    tables = {"runs": _run_table(named), "scores": _score_table(named)}
    tables["differences"] = _difference_table(named)
    if compared.pairs:
        tables["tests"] = table_of_tests(compared.pairs)
    many = len(compared.pairs) > MOST_TOLD
    curves = {f"{name}: {run.directory.name}": run for name, run in named.items()}
    return Report(
        title=counted(len(runs), "run"),
        lines=(),
        tables=tables,
        shown=tuple(name for name in tables if not (many and name == "tests")),
        figures={"curves": Picture("Curves", lambda: curves_figure(curves))},
        closing=(*conclusions(compared), *(_other_texts(runs) if compared.pairs else ())),
        absent={"tests": "; ".join(compared.reasons)},
        problems=tuple(problem for run in runs for problem in run.problems),
    )


def _other_texts(runs: Sequence[RunView]) -> Iterator[str]:
    """That runs whose rows are the same read or wrote other texts, where their recipes say so."""
    recipes = [run.recipe for run in runs]
    found = {key for other in recipes[1:] for key in differences(recipes[0], other)}
    if keys := sorted(found.intersection(OF_TEXTS)):
        yield f"the runs were given other texts, {', '.join(keys)}: part of it may be due to that"


def letters(count: int) -> list[str]:
    """Short names for runs: A, B, C, and after Z numbers."""
    return [chr(ord("A") + index) if index < 26 else f"R{index + 1}" for index in range(count)]


def _run_table(runs: Mapping[str, RunView]) -> Table:
    titles = ("run", "task", "method", "seed", "state", "directory")
    columns = tuple(Column(title, words=True) for title in titles)
    rows = tuple(_run_row(name, run) for name, run in runs.items())
    return Table("Runs", columns, rows)


def _run_row(name: str, run: RunView) -> Row:
    seed = run.result["seed"] if run.result else run.recipe.get("seed")
    return Row(
        (
            words(name),
            words(run.task or "-"),
            words(run.method or "-"),
            ABSENT if seed is None else Entry(str(seed), {"": seed}),
            words(run.state),
            words(str(run.directory)),
        )
    )


def _score_table(runs: Mapping[str, RunView]) -> Table:
    """Test and validation scores and costs, a column a run; the best of those of one task bold."""
    tasks = {run.task for run in runs.values()}
    results = {name: run.result for name, run in runs.items()}
    columns = (Column("of the run", words=True), *(Column(name) for name in runs))
    found = [name for result in results.values() if result for name in _scores_of(result)]
    metrics = sorted(dict.fromkeys(found), key=MEAN.__eq__)  # it comes last
    rows = [_metric_row(name, results, len(tasks) == 1) for name in metrics]
    for title, key, form, unit in _COSTS:
        values = [None if r is None else r[key] / unit for r in results.values()]
        rows.append(Row((words(title), *(number(value, form) for value in values))))
    return Table("Scores", columns, tuple(rows), ("test scores",), best="the best of a row")


_COSTS: tuple[tuple[str, Any, str, float], ...] = (
    ("trained %", "trained_percent", ".4f", 1),
    ("seconds", "training_seconds", ",.0f", 1),
    ("peak MB", "peak_memory_bytes", ",.0f", 1e6),
    ("adapter kB", "adapter_bytes", ",.1f", 1e3),
)


def _metric_row(metric: str, results: Mapping[str, Any], comparable: bool) -> Row:
    values = [_scores_of(r).get(metric) if r else None for r in results.values()]
    best = best_of([value for value in values if value is not None])
    entries = [
        ABSENT
        if value is None
        else Entry(f"{value:.2f}", {"": value}, comparable and value == best)
        for value in values
    ]
    return Row((words(metric), *entries))


def _scores_of(result: Result) -> dict[str, float]:
    """The test scores of a run, and their mean where there are several."""
    metrics = result["test"]["metrics"]
    return {**metrics, MEAN: result["test"]["mean"]} if len(metrics) > 1 else metrics


def _difference_table(runs: Mapping[str, RunView]) -> Table:
    """The keys at which the recipes differ, with every run's value."""
    recipes = [run.recipe for run in runs.values()]
    keys = sorted({key for other in recipes[1:] for key in differences(recipes[0], other, FREE)})
    columns = (Column("key", words=True), *(Column(name, words=True) for name in runs))
    rows = tuple(
        Row((words(key), *(_value(value_at(recipe, key, "not set")) for recipe in recipes)))
        for key in keys
    )
    notes = () if keys else ("the recipes are the same",)
    return Table("Where the recipes differ", columns, rows, notes)


def _value(value: Any) -> Entry:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Entry(text, {"": value})

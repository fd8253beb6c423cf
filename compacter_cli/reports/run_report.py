"""One run as a report: its scores, its course, its recipe, and how to use it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import counted, were
from compacter_cli.files import size_text
from compacter_cli.methods import METHODS
from compacter_cli.reports.curves import curves_figure, sparkline
from compacter_cli.reports.entries import setting_text
from compacter_cli.reports.report import Picture, Report
from compacter_cli.reports.table import ABSENT, Column, Entry, Row, Table, number, words
from compacter_cli.section import flat
from compacter_cli.training.records import epochs_words
from compacter_cli.training.run_directory import PREDICTIONS

if TYPE_CHECKING:
    from compacter_cli.reports.runs import RunView
    from compacter_cli.training.records import Result, ScoresRecord


def report_of_run(run: RunView) -> Report:
    """The report of one run, finished or not."""
    tables: dict[str, Table] = {}
    if run.result:
        tables["scores"] = _score_table(run.result)
    if run.epochs:
        tables["epochs"] = _epoch_table(run)
    if run.recipe:
        tables["recipe"] = _recipe_table(run)
    return Report(
        title=run_title(run),
        lines=(str(run.directory), *_cost_lines(run), *_curve_lines(run)),
        tables=tables,
        shown=tuple(name for name in tables if name != "epochs" or run.result is None),
        figures={"curves": Picture("Curves", lambda: curves_figure({"run": run}, run_title(run)))},
        closing=tuple(_use_lines(run)),
        absent=dict.fromkeys(("scores", "epochs", "recipe"), "; ".join(run.problems)),
        problems=(*run.problems, *_lost_answers(run)),
    )


def _lost_answers(run: RunView) -> Iterator[str]:
    """That a finished run has no answers to test; why others could not be read comparing tells."""
    if run.result and not (run.directory / PREDICTIONS).is_file():
        yield (
            f"{run.directory} has no {PREDICTIONS}: its scores cannot be tested against another "
            "run's"
        )


def run_title(run: RunView) -> str:
    """What a run is called: its method and its task, as far as they are known."""
    method = run.method or "unknown method"
    title = METHODS[method].title if method in METHODS else method
    return f"{title} on {run.task or 'an unknown task'}"


def _score_table(result: Result) -> Table:
    """Each metric on validation and test, beside what it compares with."""
    test, measured = result["test"], result.get("measured")
    columns: dict[str, Mapping[str, float]] = {
        "untrained": _metrics(result.get("before")),
        "validation": _metrics(result["validation"]),
        "test": _metrics(test),
        "majority (test)": test["majority"],
        "full fine-tuning": measured["full"] if measured else {},
        "paper (T5-base)": dict(zip(test["metrics"], result.get("paper") or (), strict=False)),
    }
    kept = {title: values for title, values in columns.items() if values}
    rows = tuple(
        Row((words(name), *(number(values.get(name)) for values in kept.values())))
        for name in _metrics(test)
    )
    titles = (Column("metric", words=True), *(Column(title) for title in kept))
    invalid, answers = test["invalid"], counted(test["count"], "answer")
    notes = (f"{invalid:,} of {answers} {were(invalid)} no label of the task",)
    return Table("Scores", titles, rows, notes if invalid else ())


def _metrics(scores: ScoresRecord | None) -> dict[str, float]:
    return {**scores["metrics"], **scores.get("beside", {})} if scores else {}


def _epoch_table(run: RunView) -> Table:
    """Loss and validation scores of every epoch, the best one bold."""
    names = list(run.epochs[0]["validation"]["metrics"])
    best = max((line["number"] for line in run.epochs if line["best"]), default=None)
    columns = (Column("epoch", words=True), Column("update"), Column("loss"), *map(Column, names))
    rows = tuple(_epoch_row(line, names, line["number"] == best) for line in run.epochs)
    return Table("Epochs", columns, rows, best="the best on validation, which was kept")


def _epoch_row(line: Mapping[str, Any], names: Sequence[str], best: bool) -> Row:
    scores = line["validation"]["metrics"]
    entries = (
        number(line["number"], "d"),
        number(line["step"], ",d"),
        number(line["loss"], ".4f"),
        *(
            Entry(f"{scores[name]:.2f}", {"": scores[name]}, best) if name in scores else ABSENT
            for name in names
        ),
    )
    return Row(entries)


def _recipe_table(run: RunView) -> Table:
    """The recipe, a line a key."""
    rows = tuple(Row((words(key), _value(value))) for key, value in flat(run.recipe))
    return Table("Recipe", (Column("key", words=True), Column("value", words=True)), rows)


def _value(value: Any) -> Entry:
    return Entry(setting_text(value) if not isinstance(value, int) else _plain(value), {"": value})


def _plain(value: int) -> str:
    """A number as a recipe has it, without commas."""
    return str(value).lower()


def _cost_lines(run: RunView) -> Iterator[str]:
    if result := run.result:
        yield (
            f"trained {result['trained_parameters']:,} of {result['backbone_parameters']:,} "
            f"parameters ({result['trained_percent']:.4f} %) in "
            f"{result['training_seconds']:.0f} s, {epochs_words(result)}, peak memory "
            f"{size_text(result['peak_memory_bytes'])}, adapter "
            f"{size_text(result['adapter_bytes'])}"
        )


def _curve_lines(run: RunView) -> Iterator[str]:
    """The course of the run as lines of blocks, each with its first and last value."""
    losses = [line["loss"] for line in run.updates if line["loss"] is not None]
    rates = [line["learning_rate"] for line in run.updates]
    scores = [line["validation"]["mean"] for line in run.epochs]
    for name, values, form in (
        ("loss", losses, ".3f"),
        ("rate", rates, ".2g"),
        ("score", scores, ".2f"),
    ):
        if values:
            yield f"{name:5} {sparkline(values)} {_ends(values, form)}"


def _ends(values: Sequence[float], form: str) -> str:
    return f"{values[0]:{form}} to {values[-1]:{form}}"


def _use_lines(run: RunView) -> Iterator[str]:
    """How to use the adapter, where there is one."""
    if not (run.directory / "best").is_dir():
        return
    place, backbone = shlex.quote(str(run.directory)), run.recipe.get("backbone")
    preset = backbone.get("preset") if isinstance(backbone, dict) else None
    yield f'answer a text: compacter predict --run {place} --text "..."'
    yield f"score it again: compacter evaluate --run {place}"
    if preset:
        yield (
            "in Python: from compacter_cli import Predictor, load_backbone; "
            f"Predictor(load_backbone({preset!r}), {str(run.directory)!r})"
        )

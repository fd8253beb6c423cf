"""Several runs as a report: how their recipes differ, their scores, and what is more than noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from compacter_cli.errors import CompacterError
from compacter_cli.recipe.recipe import recipe_of
from compacter_cli.reports.curves import curves_figure
from compacter_cli.reports.report import Picture, Report
from compacter_cli.reports.resampling import LEVEL, Resampler, intervals, mcnemar
from compacter_cli.reports.table import ABSENT, Column, Entry, Row, Table, formatted, number, words
from compacter_cli.section import differences, value_at
from compacter_cli.tasks import TASKS, task_of

if TYPE_CHECKING:
    from compacter_cli.reports.resampling import Interval, McNemar, Predicted, Resampled
    from compacter_cli.reports.runs import RunView

# Metrics of answers that are right or wrong, and not nearer or farther.
RIGHT_OR_WRONG = {"accuracy", "f1", "macro_f1", "matthews", "question_em", "exact_match"}
FREE = ("output.", "train.save_", "train.not_finite")  # keys that change no result

Answers: TypeAlias = "Mapping[str, Predicted | str]"
"""Test answers of a run by its letter, or why there are none."""


class Pair(NamedTuple):
    """Two runs that answered the same rows: what their scores differ by."""

    first: str
    second: str
    intervals: dict[str, Interval]
    mcnemar: McNemar | None
    resamples: int

    @property
    def main(self) -> Interval:
        """The difference that is judged: of the mean, or of the only metric."""
        return self.intervals.get("mean") or next(iter(self.intervals.values()))


@dataclass(frozen=True)
class Compared:
    """The pairs that could be tested, and why others could not."""

    pairs: tuple[Pair, ...]
    reasons: tuple[str, ...]


def report_of_runs(
    runs: Sequence[RunView], answers: Answers, say: Callable[[str], None] = lambda line: None
) -> Report:
    """The report of several runs; `say` is called before what takes its time."""
    named = dict(zip(letters(len(runs)), runs, strict=True))
    compared = compare_pairs(named, answers, say)
    tables = {"runs": _run_table(named), "scores": _score_table(named)}
    tables["differences"] = _difference_table(named)
    if compared.pairs:
        tables["tests"] = _test_table(compared.pairs)
    curves = {f"{name}: {run.directory.name}": run for name, run in named.items()}
    return Report(
        title=f"{len(runs)} runs",
        lines=(),
        tables=tables,
        shown=tuple(tables),
        figures={"curves": Picture("Curves", lambda: curves_figure(curves))},
        closing=tuple(_conclusions(compared)),
        absent={"tests": "; ".join(compared.reasons)},
        problems=tuple(problem for run in runs for problem in run.problems),
    )


def letters(count: int) -> list[str]:
    """Short names for runs: A, B, C, and after Z numbers."""
    return [chr(ord("A") + index) if index < 26 else f"R{index + 1}" for index in range(count)]


def compare_pairs(
    runs: Mapping[str, RunView], answers: Answers, say: Callable[[str], None] = lambda line: None
) -> Compared:
    """Compare all pairs of runs that answered the same rows of the same task."""
    resamplers = _resamplers(runs, answers)
    reasons = [f"{name}: {reason}" for name, reason in answers.items() if isinstance(reason, str)]
    whole = {}
    for first, second in combinations(runs, 2):
        reason = _why_not(runs, resamplers, first, second)
        if reason is None:
            whole[first, second] = min(resamplers[n].resamples for n in (first, second))
        else:
            reasons.append(reason)
    needed = dict.fromkeys((name, count) for pair, count in whole.items() for name in pair)
    resampled = {}
    for name, count in needed:
        say(f"resampling the test rows of {name} {count:,} times ...")
        resampled[name, count] = resamplers[name].scores(count)
    pairs = (
        _pair(one, two, resamplers, (resampled[one, count], resampled[two, count]), count)
        for (one, two), count in whole.items()
    )
    return Compared(tuple(pairs), tuple(dict.fromkeys(filter(None, reasons))))


def _resamplers(runs: Mapping[str, RunView], answers: Answers) -> dict[str, Resampler]:
    return {
        name: Resampler.of(found, labels_of(runs[name]))
        for name, found in answers.items()
        if not isinstance(found, str)
    }


def labels_of(run: RunView) -> tuple[str, ...]:
    """All target texts of a run's task; none for free text, or where the recipe cannot tell."""
    if run.task in TASKS:
        return TASKS[run.task].targets
    try:
        return task_of(recipe_of(run.recipe, str(run.directory))).targets
    except CompacterError:
        return ()


def _why_not(
    runs: Mapping[str, RunView], resamplers: Mapping[str, Resampler], first: str, second: str
) -> str | None:
    """Why two runs cannot be tested against each other; "" where that is said already."""
    if runs[first].task != runs[second].task:
        return "runs of different tasks are shown beside each other, and not tested"
    if first not in resamplers or second not in resamplers:
        return ""
    one, other = resamplers[first].answers, resamplers[second].answers
    if one.rows_hash != other.rows_hash:
        return f"{first} and {second} answered different test rows: they are not tested"
    return None


def _pair(
    first: str,
    second: str,
    resamplers: Mapping[str, Resampler],
    resampled: tuple[Resampled, Resampled],
    count: int,
) -> Pair:
    one, other = resamplers[first].answers, resamplers[second].answers
    found = intervals(one, other, resampled)
    test = mcnemar(one.correct(), other.correct()) if RIGHT_OR_WRONG & found.keys() else None
    return Pair(first, second, found, test, count)


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
            words("finished" if run.result else "unfinished"),
            words(str(run.directory)),
        )
    )


def _score_table(runs: Mapping[str, RunView]) -> Table:
    """Test and validation scores and costs, a column a run; the best of those of one task bold."""
    tasks = {run.task for run in runs.values()}
    results = {name: run.result for name, run in runs.items()}
    columns = (Column("of the run", words=True), *(Column(name) for name in runs))
    metrics = dict.fromkeys(m for r in results.values() if r for m in r["test"]["metrics"])
    rows = [_metric_row(name, results, len(tasks) == 1) for name in metrics]
    for title, key, form, unit in _COSTS:
        values = [None if r is None else r[key] / unit for r in results.values()]
        rows.append(Row((words(title), *(number(value, form) for value in values))))
    return Table("Scores", columns, tuple(rows), ("test scores; bold: the best",))


_COSTS: tuple[tuple[str, Any, str, float], ...] = (
    ("trained %", "trained_percent", ".4f", 1),
    ("seconds", "training_seconds", ",.0f", 1),
    ("peak MB", "peak_memory_bytes", ",.0f", 1e6),
    ("adapter kB", "adapter_bytes", ",.1f", 1e3),
)


def _metric_row(metric: str, results: Mapping[str, Any], comparable: bool) -> Row:
    values = [r["test"]["metrics"].get(metric) if r else None for r in results.values()]
    best = max((value for value in values if value is not None), default=None)
    entries = [
        ABSENT
        if value is None
        else Entry(f"{value:.2f}", {"": value}, comparable and value == best)
        for value in values
    ]
    return Row((words(metric), *entries))


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


def _test_table(pairs: Sequence[Pair]) -> Table:
    """Every pair's differences and intervals, and McNemar's test."""
    titles = ("pair", "metric")
    columns = (
        *(Column(title, words=True) for title in titles),
        *map(Column, ("difference", f"{LEVEL:g} % interval", "only first", "only second", "p")),
    )
    rows = tuple(row for pair in pairs for row in _test_rows(pair))
    notes = (
        f"difference: the second run's score less the first's; interval: paired bootstrap of the "
        f"test rows, {min(pair.resamples for pair in pairs):,} resamples",
        "only first, only second: rows that one run has right and the other wrong; p: McNemar's "
        "exact test of them",
    )
    return Table("Differences on the same test rows", columns, rows, notes, len(titles))


def _test_rows(pair: Pair) -> Iterator[Row]:
    test = pair.mcnemar
    for number_, (name, found) in enumerate(pair.intervals.items()):
        first = number_ == 0 and test is not None
        counts = (test.first, test.second) if test and first else (None, None)
        yield Row(
            (
                words(f"{pair.first}, {pair.second}"),
                words(name),
                Entry(
                    formatted(found.difference, "+.2f"),
                    {"": found.difference},
                    not found.holds_zero,
                ),
                Entry(_interval_text(found), {"low": found.low, "high": found.high}),
                *(number(count, ",d") for count in counts),
                number(test.p, ".3g") if test and first else ABSENT,
            ),
            f"{pair.first} {pair.second}",
        )


def _interval_text(found: Interval) -> str:
    return f"{formatted(found.low, '+.2f')} to {formatted(found.high, '+.2f')}"


def _conclusions(compared: Compared) -> Iterator[str]:
    """What the tests say, in sentences, and what they do not say."""
    yield from map(verdict, compared.pairs)
    if len(compared.pairs) > 1:
        count = len(compared.pairs)
        yield (
            f"{count} pairs are compared: of runs that are equally good one interval in twenty "
            f"leaves out zero by chance; with so many, ask for p below {0.05 / count:.2g}"
        )
    if compared.pairs:
        yield (
            "this is the noise of the test rows alone: another seed trains another run, which may "
            "differ by more"
        )
    yield from compared.reasons


def verdict(pair: Pair) -> str:
    """Whether a pair differs by more than noise, in a sentence."""
    found = pair.main
    better, worse = pair.second, pair.first
    if found.difference < 0:
        better, worse, found = worse, better, found.turned
    interval = f"{LEVEL:g} % interval {_interval_text(found)}"
    p = f", McNemar p = {pair.mcnemar.p:.2g}" if pair.mcnemar else ""
    if found.difference == 0:
        return f"{pair.first} and {pair.second} score the same ({interval}{p})"
    gap = f"{better} scores {found.difference:.2f} above {worse} ({interval}{p})"
    if found.holds_zero:
        return f"{gap}: no more than the noise of the test rows"
    return f"{gap}: more than the noise of the test rows"

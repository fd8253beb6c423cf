"""All pairs of runs that answered the same test rows: what their scores differ by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from compacter_cli.errors import CompacterError, counted
from compacter_cli.recipe.recipe import recipe_of
from compacter_cli.reports.resampling import LEVEL, Resampler, intervals, mcnemar
from compacter_cli.tasks import TASKS, task_of

if TYPE_CHECKING:
    from compacter_cli.reports.resampling import Interval, McNemar, Predicted, Resampled
    from compacter_cli.reports.runs import RunView

# Metrics of answers that are right or wrong, and not nearer or farther.
RIGHT_OR_WRONG = {"accuracy", "f1", "macro_f1", "matthews", "question_em", "exact_match"}

Answers: TypeAlias = "Mapping[str, Predicted | str]"
"""Test answers of a run by its letter, or why there are none."""


class Pair(NamedTuple):
    """Two runs that answered the same rows: what their scores differ by.

    Attributes:
        first, second: the runs' letters.
        intervals: by metric; several have a "mean".
        mcnemar: `None` where answers are not right or wrong.
        resamples: how often the rows were drawn.
        compared: how many pairs are compared, this one among them.
    """

    first: str
    second: str
    intervals: dict[str, Interval]
    mcnemar: McNemar | None
    resamples: int
    compared: int

    @property
    def level(self) -> float:
        """Percent that an interval holds, so that all pairs' together are of 95 (Bonferroni)."""
        return 100 - (100 - LEVEL) / self.compared

    @property
    def p(self) -> float | None:
        """McNemar's p-value times the pairs that are compared (Bonferroni), 1 at most."""
        return min(1.0, self.compared * self.mcnemar.p) if self.mcnemar else None

    @property
    def main(self) -> Interval:
        """The difference that is judged: of the mean, or of the only metric."""
        return self.intervals.get("mean") or next(iter(self.intervals.values()))


@dataclass(frozen=True)
class Compared:
    """The pairs that could be tested, and why others could not."""

    pairs: tuple[Pair, ...]
    reasons: tuple[str, ...]


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
    if needed:
        say(_resampling(needed))
    resampled = {(name, count): resamplers[name].scores(count) for name, count in needed}
    pairs = (
        _pair(one, two, resamplers, (resampled[one, count], resampled[two, count]), len(whole))
        for (one, two), count in whole.items()
    )
    return Compared(tuple(pairs), tuple(dict.fromkeys(filter(None, reasons))))


def _resampling(needed: Iterable[tuple[str, int]]) -> str:
    """What is resampled, how many times, in a line however many runs there are."""
    runs, counts = {name for name, _ in needed}, {count for _, count in needed}
    at_most = "at most " if len(counts) > 1 else ""
    return (
        f"resampling the test rows of {counted(len(runs), 'run')}, {at_most}{max(counts):,} times "
        "each ..."
    )


def _resamplers(runs: Mapping[str, RunView], answers: Answers) -> dict[str, Resampler]:
    return {
        name: Resampler.of(found, labels_of(runs[name]))
        for name, found in answers.items()
        if not isinstance(found, str)
    }


def labels_of(run: RunView) -> tuple[str, ...]:
    """All target texts of a run's task; none for free text, or where the recipe cannot tell."""
    if task := TASKS.get(run.task or ""):
        return task.targets
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
    compared: int,
) -> Pair:
    one, other = resamplers[first].answers, resamplers[second].answers
    count = len(next(iter(resampled[0].values())))
    pair = Pair(first, second, {}, None, count, compared)
    found = intervals(one, other, resampled, pair.level)
    test = mcnemar(one.correct(), other.correct()) if RIGHT_OR_WRONG & found.keys() else None
    return pair._replace(intervals=found, mcnemar=test)

"""Whether two runs' test scores differ by more than the noise of the test rows.

A paired bootstrap: the test rows are drawn anew, with replacement, the same ones for every run, and
scored each time. And McNemar's exact test on the rows that one run has right and the other wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    import numpy as np

    Array: TypeAlias = np.ndarray

RESAMPLES = 10_000
SLOW_RESAMPLES = 1_000  # where a metric has to be computed by the task itself, one at a time
SEED = 42
LEVEL = 95.0  # percent of the differences that an interval holds
_AT_ONCE = 4_000_000  # rows drawn at a time: of so many numbers, 32 MB


class Predicted(Protocol):
    """A run's answers to a split: see `training/predictions.py`."""

    @property
    def rows_hash(self) -> str: ...

    @property
    def gold(self) -> list[str]: ...

    @property
    def predicted(self) -> list[str]: ...

    def correct(self) -> list[bool]: ...

    def measured(self, rows: Sequence[int] | None = None) -> dict[str, float]: ...


class Interval(NamedTuple):
    """A difference of two scores, second less first, and where most of the resampled ones lie."""

    difference: float
    low: float
    high: float

    @property
    def turned(self) -> Interval:
        """The first score less the second."""
        return Interval(-self.difference, -self.high, -self.low)

    @property
    def holds_zero(self) -> bool:
        return self.low <= 0 <= self.high


class McNemar(NamedTuple):
    """How many rows only the first run has right, and only the second; the exact p-value."""

    first: int
    second: int
    p: float


Form: TypeAlias = "Callable[[Array], Array]"
"""Rows of a resample a line, to a score each, in percent."""
Resampled: TypeAlias = "dict[str, Array]"
"""Scores of every resample by metric, and their mean under "mean"."""


@dataclass(frozen=True)
class Resampler:
    """A run's answers, ready to be scored on thousands of resamples of its rows.

    `forms` computes metrics for many at once; a metric that is `None` there only the task can.
    """

    answers: Predicted
    forms: dict[str, Form | None]

    @classmethod
    def of(cls, answers: Predicted, labels: Sequence[str] = ()) -> Self:
        """`labels` are all target texts of the task, in order; empty for free text."""
        whole = answers.measured()
        return cls(answers, {n: _quick_form(n, answers, labels, v) for n, v in whole.items()})

    @property
    def resamples(self) -> int:
        """How often the rows are to be drawn."""
        return RESAMPLES if all(self.forms.values()) else SLOW_RESAMPLES

    def scores(self, resamples: int, seed: int = SEED) -> Resampled:
        """The scores on every resample; runs of the same rows get the same rows drawn."""
        import numpy as np

        parts: dict[str, list[Array]] = {name: [] for name in self.forms}
        for rows in _draws(len(self.answers.gold), resamples, seed):
            for name, values in self._scored(rows).items():
                parts[name].append(values)
        found = {name: np.concatenate(values) for name, values in parts.items()}
        return {**found, "mean": np.mean(list(found.values()), axis=0)}

    def _scored(self, rows: Array) -> dict[str, Array]:
        import numpy as np

        slow = [name for name, form in self.forms.items() if form is None]
        measured = [self.answers.measured(one.tolist()) for one in rows] if slow else []
        found = {name: np.array([one[name] for one in measured]) for name in slow}
        return {name: form(rows) if form else found[name] for name, form in self.forms.items()}


def _draws(count: int, resamples: int, seed: int) -> Iterator[Array]:
    """Numbers of rows, a line a resample, some lines at a time."""
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // max(1, count))
    for start in range(0, resamples, at_once):
        yield generator.integers(count, size=(min(at_once, resamples - start), count))


def intervals(
    first: Predicted,
    second: Predicted,
    resampled: tuple[Resampled, Resampled],
    level: float = LEVEL,
) -> dict[str, Interval]:
    """The `Interval` of every metric's difference, and of that of their mean.

    `level` percent of the resampled differences lie in it.
    """
    import numpy as np

    whole = [_with_mean(answers.measured()) for answers in (first, second)]
    tail = (100 - level) / 2
    found = {}
    for name in whole[0]:
        differences = resampled[1][name] - resampled[0][name]
        low, high = np.percentile(differences, [tail, 100 - tail])
        found[name] = Interval(whole[1][name] - whole[0][name], float(low), float(high))
    return found if len(found) > 2 else {name: found[name] for name in found if name != "mean"}


def _with_mean(scores: Mapping[str, float]) -> dict[str, float]:
    return {**scores, "mean": sum(scores.values()) / len(scores)}


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """McNemar's exact test of two runs' right and wrong answers to the same rows."""
    from scipy.stats import binomtest

    only_first = sum(a and not b for a, b in zip(first, second, strict=True))
    only_second = sum(b and not a for a, b in zip(first, second, strict=True))
    discordant = only_first + only_second
    p = binomtest(only_first, discordant, 0.5).pvalue if discordant else 1.0
    return McNemar(only_first, only_second, float(p))


def _quick_form(name: str, answers: Predicted, labels: Sequence[str], value: float) -> Form | None:
    """A metric computed for thousands of resamples at once, `None` where only the task can.

    One is used only where it gives on all rows what the task's own metric gives.
    """
    import numpy as np

    make = _FORMS.get(name)
    form = make(answers, labels) if make else None
    if form is None:
        return None
    with np.errstate(invalid="ignore"):
        same = abs(form(np.arange(len(answers.gold))[None])[0] - value) < 1e-6
    return form if same else None


def _accuracy(answers: Predicted, labels: Sequence[str]) -> Form:
    import numpy as np

    right = np.array(answers.correct(), dtype=np.float32)
    return lambda rows: 100 * right[rows].mean(axis=1, dtype=np.float64)


def _mean_of_rows(name: str) -> Callable[[Predicted, Sequence[str]], Form]:
    """A metric that is the mean of what it is on each row alone."""

    def make(answers: Predicted, labels: Sequence[str]) -> Form:
        import numpy as np

        each = np.array([answers.measured([row])[name] for row in range(len(answers.gold))])
        return lambda rows: each[rows].mean(axis=1)

    return make


def _of_two(
    score: Callable[[Array, Array, Array, Array], Array],
) -> Callable[[Predicted, Sequence[str]], Form | None]:
    """A metric of two labels, of the numbers of true and false positives and negatives."""

    def make(answers: Predicted, labels: Sequence[str]) -> Form | None:
        import numpy as np

        if len(labels) != 2:
            return None
        positive = np.array([text == labels[-1] for text in answers.gold])
        kind = 2 * positive + np.array(answers.correct())  # 0 FP, 1 TN, 2 FN, 3 TP

        def form(rows: Array) -> Array:
            kinds = kind[rows]
            fp, tn, fn, tp = ((kinds == number).sum(axis=1).astype(float) for number in range(4))
            return 100 * score(tp, fp, fn, tn)

        return form

    return make


def _f1(tp: Array, fp: Array, fn: Array, tn: Array) -> Array:
    import numpy as np

    return 2 * tp / np.maximum(2 * tp + fp + fn, 1)


def _matthews(tp: Array, fp: Array, fn: Array, tn: Array) -> Array:
    import numpy as np

    spread = np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return np.where(spread > 0, (tp * tn - fp * fn) / np.maximum(spread, 1), 0.0)


def _macro_f1(answers: Predicted, labels: Sequence[str]) -> Form | None:
    import numpy as np

    if not labels:
        return None
    gold, given = (
        np.array([*map(_place(labels), texts)]) for texts in (answers.gold, answers.predicted)
    )

    def form(rows: Array) -> Array:
        golds, givens = gold[rows], given[rows]
        scores = []
        for label in range(len(labels)):
            tp = ((golds == label) & (givens == label)).sum(axis=1)
            both = (golds == label).sum(axis=1) + (givens == label).sum(axis=1)
            scores.append(2 * tp / np.maximum(both, 1))
        return 100 * np.mean(scores, axis=0)

    return form


def _place(labels: Sequence[str]) -> Callable[[str], int]:
    places = {label: number for number, label in enumerate(labels)}
    return lambda text: places.get(text, -1)


def _correlation(ranked: bool) -> Callable[[Predicted, Sequence[str]], Form | None]:
    """Pearson's correlation of labels that are numbers, or Spearman's of their ranks."""

    def make(answers: Predicted, labels: Sequence[str]) -> Form | None:
        import numpy as np

        if not labels:
            return None
        known = {label: float(label) for label in labels}
        unknown = min(known.values()) - 1  # what a text that is no label counts as
        gold, given = (
            np.array([known.get(text, unknown) for text in texts])
            for texts in (answers.gold, answers.predicted)
        )
        return lambda rows: 100 * _correlations(gold[rows], given[rows], ranked)

    return make


def _correlations(one: Array, other: Array, ranked: bool) -> Array:
    """The correlation of each line of two arrays, 0 where a side is constant."""
    import numpy as np
    from scipy.stats import rankdata

    if ranked:
        one, other = rankdata(one, axis=1), rankdata(other, axis=1)
    one, other = one - one.mean(axis=1, keepdims=True), other - other.mean(axis=1, keepdims=True)
    spread = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    return np.where(spread > 1e-9, (one * other).sum(axis=1) / np.maximum(spread, 1e-9), 0.0)


_FORMS: dict[str, Callable[[Predicted, Sequence[str]], Form | None]] = {
    "accuracy": _accuracy,
    "f1": _of_two(_f1),
    "matthews": _of_two(_matthews),
    "macro_f1": _macro_f1,
    "pearson": _correlation(ranked=False),
    "spearman": _correlation(ranked=True),
    **{name: _mean_of_rows(name) for name in ("exact_match", "token_f1", "rouge_l")},
}

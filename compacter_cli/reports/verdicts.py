"""Whether runs differ by more than the noise of the test rows: a table, and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from compacter_cli.errors import counted
from compacter_cli.reports.table import (
    ABSENT,
    Column,
    Entry,
    Row,
    Table,
    formatted,
    number,
    words,
)

if TYPE_CHECKING:
    from compacter_cli.reports.pairs import Compared, Pair
    from compacter_cli.reports.resampling import Interval

MOST_TOLD = 10  # pairs that a sentence each is said of


def table_of_tests(pairs: Sequence[Pair]) -> Table:
    """Every pair's differences and intervals, and McNemar's test."""
    titles = ("pair", "metric")
    interval = f"{_level(pairs[0])} interval"
    columns = (
        *(Column(title, words=True) for title in titles),
        *map(Column, ("difference", interval, "only first", "only second", "p")),
    )
    rows = tuple(row for pair in pairs for row in _rows(pair))
    title = "Differences on the same test rows"
    return Table(title, columns, rows, tuple(_notes(pairs)), len(titles))


def _notes(pairs: Sequence[Pair]) -> Iterator[str]:
    resamples = min(pair.resamples for pair in pairs)
    yield (
        f"difference: the second run's score less the first's; interval: paired bootstrap of the "
        f"test rows, {resamples:,} resamples"
    )
    if any(pair.mcnemar for pair in pairs):
        times = f", times the {len(pairs)} pairs" if len(pairs) > 1 else ""
        yield (
            "only first, only second: rows that one run has right and the other wrong; p: "
            f"McNemar's exact test of them{times}"
        )
    beyond = resamples * (1 - pairs[0].level / 100) / 2
    if beyond < 1:
        yield (
            f"of so many pairs an interval is the whole range of its resamples: no more than "
            f"{beyond:.2g} of them would be left out at either end"
        )


def _rows(pair: Pair) -> Iterator[Row]:
    for place, (name, found) in enumerate(pair.intervals.items()):
        test = pair.mcnemar if place == 0 else None
        counts = (test.first, test.second) if test else (None, None)
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
                number(pair.p, ".3g") if test else ABSENT,
            ),
            f"{pair.first} {pair.second}",
        )


def _level(pair: Pair) -> str:
    """What an interval holds: "95 %", "98.33 %", "99.988 %"."""
    return f"{pair.level:.{4 if pair.level < 99.9 else 5}g} %"


def _interval_text(found: Interval) -> str:
    return f"{formatted(found.low, '+.2f')} to {formatted(found.high, '+.2f')}"


def conclusions(compared: Compared) -> Iterator[str]:
    """What the tests say, in sentences, and what they do not say."""
    pairs = compared.pairs
    yield from map(verdict, _most_telling(pairs))
    if len(pairs) > MOST_TOLD:
        yield _rest(pairs)
    if len(pairs) > 1:
        yield _correction(pairs)
    if pairs:
        yield (
            "this is the noise of the test rows alone: another seed trains another run, which may "
            "differ by more"
        )
    yield from compared.reasons


def _most_telling(pairs: Sequence[Pair]) -> list[Pair]:
    """All pairs in their order, or of many those that differ the most, beyond noise first."""
    if len(pairs) <= MOST_TOLD:
        return list(pairs)
    ordered = sorted(pairs, key=lambda pair: (pair.main.holds_zero, -abs(pair.main.difference)))
    return ordered[:MOST_TOLD]


def _rest(pairs: Sequence[Pair]) -> str:
    differ = sum(not pair.main.holds_zero for pair in pairs)
    return (
        f"{counted(len(pairs) - MOST_TOLD, 'more pair')} not told here: --table tests has all; it "
        f"is more than the noise of the test rows in {differ:,} of {len(pairs):,}"
    )


def _correction(pairs: Sequence[Pair]) -> str:
    p = f", and p is times {len(pairs)}" if any(pair.mcnemar for pair in pairs) else ""
    return (
        f"{len(pairs):,} pairs are compared: so that no more than one such report in twenty calls "
        f"equally good runs different, intervals are of {_level(pairs[0])}{p} (Bonferroni)"
    )


def verdict(pair: Pair) -> str:
    """Whether a pair differs by more than noise, in a sentence."""
    found = pair.main
    better, worse = pair.second, pair.first
    if found.difference < 0:
        better, worse, found = worse, better, found.turned
    by = _by(pair)
    p = "" if pair.p is None else f", McNemar p = {pair.p:.2g}"
    interval = f"{_level(pair)} interval {_interval_text(found)}{p}"
    if found.difference == 0:
        return f"{pair.first} and {pair.second} score the same{by} ({interval})"
    gap = f"{better} scores {found.difference:.2f} above {worse}{by} ({interval})"
    if found.holds_zero:
        return f"{gap}: no more than the noise of the test rows"
    return f"{gap}: more than the noise of the test rows"


def _by(pair: Pair) -> str:
    """Which score is judged, where there are several."""
    if "mean" not in pair.intervals:
        return ""
    *others, last = (name for name in pair.intervals if name != "mean")
    return f" by the mean of {', '.join(others)} and {last}"

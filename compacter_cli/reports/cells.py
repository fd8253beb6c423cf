"""The runs of a sweep as cells: what was tried for a task and an arm, what was chosen, its scores.

A setting is chosen by its validation score alone, the mean over its finished seeds; of equal ones
the first of the grid.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

from compacter_cli.methods import METHODS
from compacter_cli.tasks import TASKS

if TYPE_CHECKING:
    from compacter_cli.sweeps.records import IndexLine
    from compacter_cli.sweeps.sections import Arm, Sweep

SAMPLES = "data.max_train_samples"  # the axis on which a task may have fewer rows than asked for


@dataclass(frozen=True)
class Tried:
    """A setting of the searched keys, and a line of every seed that was planned with it."""

    setting: dict[str, Any]
    lines: tuple[IndexLine, ...]

    @cached_property
    def finished(self) -> tuple[IndexLine, ...]:
        """The lines of runs that have scores."""
        return tuple(line for line in self.lines if is_scored(line))

    @property
    def validation(self) -> float | None:
        """Mean validation score over the finished seeds, `None` where there is none."""
        found = [line.get("validation_mean", 0.0) for line in self.finished]
        return fmean(found) if found else None

    def scores(self, metric: str) -> list[float]:
        """A test metric by finished seed."""
        return [tested(line)[metric] for line in self.finished]

    def mean_scores(self) -> list[float]:
        """The mean of the test metrics by finished seed."""
        return [fmean(tested(line).values()) for line in self.finished]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The test metrics that every finished run has."""
        found = [tested(line) for line in self.finished]
        return (
            tuple(name for name in found[0] if all(name in one for one in found)) if found else ()
        )


@dataclass(frozen=True)
class Cell:
    """A task, an arm and a value of the axis: its settings in the grid's order.

    `rows` is how many training rows were asked for, where that is the axis.
    """

    task: str
    arm: Arm
    axis: Any
    tried: tuple[Tried, ...]
    rows: int | None = None

    @cached_property
    def chosen(self) -> Tried | None:
        """The setting that does best on validation, `None` before any run is finished."""
        candidates = [one for one in self.tried if one.validation is not None]
        return max(candidates, key=lambda one: one.validation or 0.0) if candidates else None

    @property
    def planned(self) -> int:
        """Runs that were planned with the chosen setting, or with any where none is chosen."""
        return max(
            (len(one.lines) for one in ([self.chosen] if self.chosen else self.tried)), default=0
        )

    @property
    def state(self) -> str:
        """What became of it: finished, partly, failed, unfinished, waiting or missing."""
        if self.chosen:
            return "finished" if len(self.chosen.finished) == len(self.chosen.lines) else "partly"
        states = {line["state"] for one in self.tried for line in one.lines}
        known = ("unfinished", "waiting", "failed")
        return next((state for state in known if state in states), "missing")

    @property
    def capped(self) -> int | None:
        """How many rows the runs trained on, where the axis asks for more; else `None`."""
        lines = self.chosen.finished if self.chosen else ()
        found = [count for line in lines if (count := line.get("train_rows")) is not None]
        return min(found) if self.rows and found and min(found) < self.rows else None

    @property
    def out_of(self) -> str:
        """How many settings the choice was out of, and how unevenly: "3 of 9"."""
        counted = [one for one in self.tried if one.validation is not None]
        seeds = {len(one.finished) for one in counted}
        text = str(len(self.tried))
        if len(counted) < len(self.tried):
            text = f"{len(counted)} of {text}"
        return f"{text}, of unequal seeds" if len(seeds) > 1 else text


class Average(NamedTuple):
    """The flat mean over all numbers of a row, as the paper's.

    Attributes:
        mean: over the numbers, each the mean over its seeds.
        by_seed: the same of every seed that has finished every task.
        over: the tasks that have numbers.
    """

    mean: float
    by_seed: list[float]
    over: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """All cells of a sweep, by task, arm and value of the axis."""

    sweep: Sweep
    cells: dict[tuple[str, str, str], Cell]

    def cell(self, task: str, arm: str, axis: Any = None) -> Cell:
        return self.cells[task, arm, _text(axis)]

    def row(self, arm: str, axis: Any = None) -> list[Cell]:
        """The cells of an arm, task after task."""
        return [self.cell(task, arm, axis) for task in self.sweep.tasks]

    def rows(self) -> Iterator[tuple[Arm, Any]]:
        """Every arm with every value of the axis, `None` where the sweep has none."""
        return product(self.sweep.arms, _axis_values(self.sweep))

    @property
    def full(self) -> Arm | None:
        """The arm that is full fine-tuning, by its name or by its runs."""
        arms = {arm.name: arm for arm in self.sweep.arms}
        methods = {line["arm"]: line["method"] for line in self.lines()}
        names = ("full", *(name for name, method in methods.items() if method == "full"))
        return next((arms[name] for name in names if name in arms), None)

    def lines(self) -> Iterator[IndexLine]:
        return (line for cell in self.cells.values() for one in cell.tried for line in one.lines)


def comparison_of(sweep: Sweep, lines: Iterable[IndexLine]) -> Comparison:
    """The cells of a sweep out of the lines of its index; lines of other arms are left out."""
    found: dict[tuple[str, str, str], list[IndexLine]] = {}
    for line in lines:
        found.setdefault((line["task"], line["arm"], _text(line["axis"])), []).append(line)
    cells = {}
    for task, arm, value in product(sweep.tasks, sweep.arms, _axis_values(sweep)):
        key = (task, arm.name, _text(value))
        rows = value if sweep.axis and sweep.axis.key == SAMPLES else None
        cells[key] = Cell(task, arm, value, _tried(sweep, arm, found.get(key, [])), rows)
    return Comparison(sweep, cells)


def _axis_values(sweep: Sweep) -> list[Any]:
    return sweep.axis.values if sweep.axis else [None]


def _tried(sweep: Sweep, arm: Arm, lines: Sequence[IndexLine]) -> tuple[Tried, ...]:
    """The settings of a cell in the grid's order, each with its lines."""
    groups: dict[str, list[IndexLine]] = {}
    for line in lines:
        groups.setdefault(_text(line["setting"]), []).append(line)
    tried = [Tried(group[0]["setting"], tuple(group)) for group in groups.values()]
    grid = {**sweep.search, **arm.search}
    return tuple(sorted(tried, key=lambda one: _place(one.setting, grid)))


def _place(setting: dict[str, Any], grid: dict[str, list[Any]]) -> list[int]:
    """Where a setting stands in the grid; what the grid does not hold comes last."""
    return [
        values.index(setting[key]) if setting.get(key) in values else len(values)
        for key, values in grid.items()
    ]


def average(cells: Sequence[Cell]) -> Average | None:
    """The `Average` of a row of cells; `None` where none has a number."""
    chosen = [(cell.task, cell.chosen) for cell in cells if cell.chosen]
    numbers = [fmean(one.scores(name)) for _, one in chosen for name in one.metrics]
    if not numbers:
        return None
    return Average(
        fmean(numbers), _by_seed([one for _, one in chosen]), tuple(t for t, _ in chosen)
    )


def _by_seed(chosen: Sequence[Tried]) -> list[float]:
    """The flat mean of every seed that all of the settings have finished."""
    by_seed = [{line["seed"]: tested(line) for line in one.finished} for one in chosen]
    seeds = [seed for seed in by_seed[0] if all(seed in scores for scores in by_seed)]
    return [fmean(value for scores in by_seed for value in scores[seed].values()) for seed in seeds]


def deviation(values: Sequence[float]) -> float | None:
    """The sample standard deviation, of two values or more."""
    return stdev(values) if len(values) > 1 else None


def is_scored(line: IndexLine) -> bool:
    """Whether a run has scores."""
    return line["state"] == "finished" and bool(line.get("test"))


def tested(line: IndexLine) -> dict[str, float]:
    """The test scores of a run that has some."""
    return line.get("test", {})


def title_of(arm: Arm) -> str:
    """What an arm is called in tables."""
    return arm.title or (METHODS[arm.name].title if arm.name in METHODS else arm.name)


def task_title(task: str, tasks: Sequence[str]) -> str:
    """What a task is called in a column: without its benchmark, where no other has that name."""
    short = task.rpartition("/")[2]
    alike = [other for other in tasks if other.rpartition("/")[2] == short]
    return _TITLES.get(task, short) if len(alike) == 1 else task


def metric_names(task: str, found: Sequence[str]) -> tuple[str, ...]:
    """The metrics of a task in its own order."""
    known = TASKS[task].metrics if task in TASKS else ()
    return (
        *(name for name in known if name in found),
        *(name for name in found if name not in known),
    )


def _text(value: Any) -> str:
    """What tells values apart: 1 from true, and settings whatever their keys' order."""
    return json.dumps(value, sort_keys=True)


# The paper's own spelling.
_TITLES = {
    "glue/cola": "CoLA", "glue/sst2": "SST-2", "glue/mrpc": "MRPC", "glue/qqp": "QQP",
    "glue/stsb": "STS-B", "glue/mnli": "MNLI", "glue/qnli": "QNLI", "glue/rte": "RTE",
    "super_glue/boolq": "BoolQ", "super_glue/cb": "CB", "super_glue/copa": "COPA",
    "super_glue/multirc": "MultiRC", "super_glue/record": "ReCoRD", "super_glue/wic": "WiC",
}  # fmt: skip

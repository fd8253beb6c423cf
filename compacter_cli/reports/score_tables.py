"""Tables 1 and 2 of the paper, of a sweep's own numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any

from compacter_cli.reports.cells import (
    Average,
    average,
    deviation,
    metric_names,
    task_title,
    title_of,
)
from compacter_cli.reports.entries import (
    CAPPED,
    cell_mean,
    head_columns,
    head_entries,
    percent_text,
    score_entry,
    short_key,
)
from compacter_cli.reports.paper_rows import paper_row
from compacter_cli.reports.setting_tables import chosen_notes
from compacter_cli.reports.sizes import row_size
from compacter_cli.reports.table import (
    ABSENT,
    EMPTY,
    Column,
    Entry,
    Row,
    Table,
    best_of,
    formatted,
    words,
)
from compacter_cli.tasks import TASKS

if TYPE_CHECKING:
    from compacter_cli.reports.cells import Cell, Comparison
    from compacter_cli.reports.paper_rows import PaperRow
    from compacter_cli.sweeps.sections import Arm, Sweep


def score_table(comparison: Comparison) -> Table:
    """Every arm's scores on every task and their average, in the layout of Tables 1 and 2.

    Where the sweep has a table of the paper, a row of ours is followed by the paper's and by the
    difference.
    """
    sweep = comparison.sweep
    averages = {
        _key(arm, axis): average(comparison.row(arm.name, axis)) for arm, axis in comparison.rows()
    }
    columns = (
        *head_columns(sweep),
        *([Column("numbers", words=True)] if _has_paper(comparison) else []),
        Column("#total params"),
        Column("trained %"),
        *(Column(task_title(task, sweep.tasks)) for task in sweep.tasks),
        Column("avg"),
    )
    rows = (
        row for arm, axis in comparison.rows() for row in _rows(comparison, arm, axis, averages)
    )
    head = len(head_columns(sweep)) + _has_paper(comparison)
    notes = tuple(_notes(comparison, averages))
    return Table(sweep.title, columns, tuple(rows), notes, head, f"the best{_among(sweep)}")


def _has_paper(comparison: Comparison) -> bool:
    return any(paper_row(comparison.sweep, arm.name) for arm in comparison.sweep.arms)


def _rows(
    comparison: Comparison, arm: Arm, axis: Any, averages: dict[str, Average | None]
) -> Iterator[Row]:
    """The row of an arm, and those of the paper's numbers and of the differences."""
    best, found = _best(comparison, axis, averages), averages[_key(arm, axis)]
    sweep, cells, paper = (
        comparison.sweep,
        comparison.row(arm.name, axis),
        paper_row(comparison.sweep, arm.name),
    )
    with_paper, head, group = (
        _has_paper(comparison),
        head_entries(sweep, arm, axis),
        _key(arm, axis),
    )
    ours = [score_entry(cell, best.get(cell.task)) for cell in cells]
    numbers = [*_size_entries(sweep, cells), *ours, _average_entry(sweep, found, best.get(""))]
    kind = [words("ours")] if with_paper else []
    yield Row((*head, *kind, *numbers), group)
    if paper:
        yield Row((*_again(head, paper.n), words("paper"), *_paper_entries(sweep, paper)), group)
        yield Row(
            (*_again(head), words("difference"), *_differences(sweep, cells, found, paper)), group
        )


def _again(head: Sequence[Entry], n: int | None = None) -> list[Entry]:
    """The head of a further row of the same arm: told in full to machines alone."""
    first = Entry(f"(n = {n})" if n else "", head[0].values)
    return [first, *(Entry("", entry.values) for entry in head[1:])]


def _size_entries(sweep: Sweep, cells: Sequence[Cell]) -> list[Entry]:
    size = row_size(cells)
    if size is None:
        return [ABSENT, ABSENT]
    values = (
        {"": size.least} if size.least == size.most else {"least": size.least, "most": size.most}
    )
    percent = Entry(" to ".join(dict.fromkeys(map(percent_text, (size.least, size.most)))), values)
    return [_total_entry(size.total, size.least), percent]


def _total_entry(total: float | None, percent: float) -> Entry:
    if total is None:
        return ABSENT
    return Entry(f"{total:.1f}x1" if percent == 100 else f"{total:.3f}", {"": total})


def _average_entry(sweep: Sweep, found: Average | None, best: float | None) -> Entry:
    if found is None:
        return ABSENT
    values = {"": found.mean, "sd": deviation(found.by_seed), "tasks": len(found.over)}
    spread = f" ± {values['sd']:.2f}" if values["sd"] is not None else ""
    part = _part(found.over, sweep)
    return Entry(f"{formatted(found.mean)}{spread}{part}", values, not part and found.mean == best)


def _part(tasks: Collection[str], sweep: Sweep) -> str:
    """How many of a sweep's tasks an average is over, where it is not over all."""
    return "" if len(tasks) == len(sweep.tasks) else f" ({len(tasks)} of {len(sweep.tasks)})"


def _paper_entries(sweep: Sweep, paper: PaperRow) -> list[Entry]:
    scores = [_numbers_entry(task, paper.scores.get(task)) for task in sweep.tasks]
    average = paper.average if paper.printed is None else paper.printed
    total, percent = paper.total, paper.percent
    return [
        Entry(f"{total:.3f}", {"": total}) if isinstance(total, float) else _whole(str(total)),
        Entry(percent_text(percent), {"": percent}),
        *scores,
        Entry(formatted(average) + _part(paper.scores, sweep), {"": average}),
    ]


def _whole(total: str) -> Entry:
    """Full fine-tuning's total, printed as "8.0x1"."""
    return Entry(total, {"": float(total.partition("x")[0])})


def _differences(
    sweep: Sweep, cells: Sequence[Cell], found: Average | None, paper: PaperRow
) -> list[Entry]:
    """Ours less the paper's; of the average where both are over the same tasks."""
    entries = [
        _numbers_entry(cell.task, _less(cell, paper.scores.get(cell.task)), "+.2f")
        for cell in cells
    ]
    same = found is not None and set(found.over) == paper.scores.keys()
    gap = found.mean - paper.average if found and same else None
    return [
        EMPTY,
        EMPTY,
        *entries,
        ABSENT if gap is None else Entry(formatted(gap, "+.2f"), {"": gap}),
    ]


def _less(cell: Cell, paper: list[float] | None) -> list[float] | None:
    if cell.chosen is None or paper is None:
        return None
    names = metric_names(cell.task, cell.chosen.metrics)
    if len(names) != len(paper):
        return None
    return [
        fmean(cell.chosen.scores(name)) - other for name, other in zip(names, paper, strict=True)
    ]


def _numbers_entry(task: str, numbers: list[float] | None, form: str = ".2f") -> Entry:
    """One number or a pair, by the names of the task's metrics."""
    if numbers is None:
        return ABSENT
    values = dict(zip(TASKS[task].metrics, numbers, strict=True))
    return Entry("/".join(formatted(value, form) for value in numbers), values)


def _best(
    comparison: Comparison, axis: Any, averages: dict[str, Average | None]
) -> dict[str, float]:
    """The best mean of every task at a value of the axis, and under "" the best whole average.

    Those of which all are equal are left out.
    """
    values: dict[str, list[float]] = {}
    for arm in comparison.sweep.arms:
        for cell in comparison.row(arm.name, axis):
            if cell.chosen:
                values.setdefault(cell.task, []).append(cell_mean(cell))
        found = averages[_key(arm, axis)]
        if found and len(found.over) == len(comparison.sweep.tasks):
            values.setdefault("", []).append(found.mean)
    best = {name: best_of(found) for name, found in values.items()}
    return {name: value for name, value in best.items() if value is not None}


def _notes(comparison: Comparison, averages: dict[str, Average | None]) -> Iterator[str]:
    sweep = comparison.sweep
    seeds = len(sweep.seeds)
    yield (
        f"test scores; mean ± sample deviation over {seeds} seeds, and how many where not all"
        if seeds > 1
        else "test scores of one seed"
    )
    if sweep.search or any(arm.search for arm in sweep.arms):
        yield "of every search the setting with the best validation score: see the table of choices"
        yield from chosen_notes(comparison)
    yield "avg: flat mean over all numbers of a row, as the paper's" + _parts(comparison, averages)
    if capped := _capped(comparison):
        yield f"{CAPPED} the task has fewer training rows than asked for: {capped}"
    yield (
        "#total params: the backbone once and what every task adds, layer norms left out; "
        "trained %: of the backbone with at most 32,100 rows of vocabulary"
    )
    if sweep.paper:
        yield _paper_note(comparison)


def _among(sweep: Sweep) -> str:
    """Which rows the best of a column is the best of."""
    same = f", among rows of the same {short_key(sweep.axis.key)}" if sweep.axis else ""
    return f" of a column{same}"


def _paper_note(comparison: Comparison) -> str:
    table = str(comparison.sweep.paper).replace("table", "Table ")
    if not _has_paper(comparison):
        return f"paper: its {table} has none of these arms and tasks"
    return (
        f"paper: its {table} (T5-base, one seed); the difference of averages is to the mean of the "
        "paper's own numbers, which it prints rounded"
    )


def _parts(comparison: Comparison, averages: dict[str, Average | None]) -> str:
    """Which averages are over some tasks alone, and which those are."""
    tasks = comparison.sweep.tasks
    parts = [
        f"{title_of(arm)} over {', '.join(task_title(task, tasks) for task in found.over)}"
        for arm, axis in comparison.rows()
        if (found := averages[_key(arm, axis)]) and len(found.over) < len(tasks)
    ]
    return "; not whole: " + "; ".join(parts) if parts else ""


def _capped(comparison: Comparison) -> str:
    """What tasks gave instead of what the axis asks for."""
    found: dict[str, None] = {}
    for cell in comparison.cells.values():
        if cell.capped:
            name = task_title(cell.task, comparison.sweep.tasks)
            found[f"{name} {cell.capped:,} of {cell.axis:,}"] = None
    return ", ".join(found)


def _key(arm: Arm, axis: Any) -> str:
    return f"{arm.name} {axis}"

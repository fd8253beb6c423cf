"""The paper's reported figures, from `paper_tables.toml`."""

import functools
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NotRequired, TypeAlias, TypedDict

if TYPE_CHECKING:  # count-params has no need of all tasks
    from compacter_cli.tasks.base import Task

ScoreTable: TypeAlias = Literal["table1", "table2"]


class Columns(TypedDict):
    """Keys of the tasks of Tables 1 and 2, in the paper's order."""

    glue: list[str]
    super_glue: list[str]


class ScoreRow(TypedDict):
    """A method in Table 1 or 2. Full fine-tuning's `total_params` is printed as "8.0x1"."""

    total_params: float | str
    trained_percent: float
    scores: dict[str, float | list[float]]
    n: NotRequired[int]
    intrinsic_dim: NotRequired[int]


class CostRow(TypedDict):
    """A method in Table 3; the deltas, in percent and as printed, are of all but full."""

    memory_mb: float
    minutes_per_epoch: float
    memory_delta: NotRequired[float]
    time_delta: NotRequired[float]


class PaperTables(TypedDict):
    """Tables 1, 2 and 3: a row a method, by its name; in the last both prompts share "prompt"."""

    columns: Columns
    table1: dict[str, ScoreRow]
    table2: dict[str, ScoreRow]
    table3: dict[str, CostRow]


@functools.cache
def paper_tables() -> PaperTables:
    """Tables 1, 2 and 3 as data."""
    text = Path(__file__).with_name("paper_tables.toml").read_text(encoding="utf-8")
    return PaperTables(**tomllib.loads(text))


def paper_scores(task: "Task", method: str, n: int | None = None) -> list[float] | None:
    """The paper's score or scores of a method on a task, as a list, or `None` where it has none.

    With `n`, the method's hypercomplex division, only a row of the same n counts.
    """
    tables = paper_tables()
    for benchmark, table in (("glue", tables["table1"]), ("super_glue", tables["table2"])):
        row = table.get(method)
        if row and task.name.startswith(f"{benchmark}/") and n in (None, row.get("n")):
            score = row["scores"].get(task.paper or "")
            return None if score is None else score if isinstance(score, list) else [score]
    return None

"""Exact parameter counts of methods on backbones, beside the paper's; no framework needed."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple, NotRequired

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.errors import Problem
from compacter_cli.methods.base import Method
from compacter_cli.paper.tables import ScoreRow, ScoreTable, paper_tables
from compacter_cli.t5.shapes import PAPER_ROWS, shape_of

PAPER_BASE = 222_882_048  # parameters of the paper's T5-base
# Tasks of GLUE and of SuperGLUE in the paper's tables.
TASKS_OF: dict[ScoreTable, int] = {"table1": 8, "table2": 6}
_OTHER = ("n", "gradient")  # n tells the paper's rows apart, a kind of gradient counts nothing


class OwnSizes(TypedDict):
    """What trains and the backbone, with the backbone's own rows of vocabulary; in percent."""

    trained: int
    backbone_parameters: int
    percent: float


class PaperFigures(TypedDict):
    """The paper's figures of a method, where it has them: a share in percent, and totals as they
    are printed, of Table 1 (8 tasks) and Table 2 (6)."""

    percent: float | None
    table1: float | str | None
    table2: float | str | None


class Counted(TypedDict):
    """A `Count` as plain data.

    `not_available` says why the method cannot be had on the backbone; all else is left out then.
    `total_params` are multiples of the backbone by number of tasks. `verified` says whether the
    built model was counted, too.
    """

    backbone: str
    method: str
    settings: dict[str, Any]
    not_available: NotRequired[list[str]]
    components: NotRequired[dict[str, int]]
    trained: NotRequired[int]
    percent: NotRequired[float]
    vocabulary_rows: NotRequired[int]
    backbone_parameters: NotRequired[int]
    own: NotRequired[OwnSizes]
    total_params: NotRequired[dict[str, float]]
    total_params_with_layer_norms: NotRequired[dict[str, float]]
    closed_form: NotRequired[int | None]
    paper: NotRequired[PaperFigures]
    verified: NotRequired[bool]


class Sizes(NamedTuple):
    """Parameters that train, and of the whole backbone."""

    trained: int
    base: int


@dataclass(frozen=True)
class Count:
    """What a method trains on a backbone.

    Attributes:
        backbone: name of the backbone.
        method: settings of the method.
        components: trained parameters by component, at `rows` of vocabulary.
        base: parameters of the backbone at `rows`.
        rows: the paper's 32,100 where the backbone has at least as many, else its own.
        own: what trains and the backbone, with the backbone's own rows.
        problems: why the method cannot be had on this backbone; the counts are empty then.
    """

    backbone: str
    method: Method
    components: dict[str, int]
    base: int
    rows: int
    own: Sizes
    problems: tuple[Problem, ...] = ()

    @property
    def trained(self) -> int:
        return sum(self.components.values())

    @property
    def added(self) -> int:
        """Parameters that each task adds to the backbone; layer norms replace, and do not add."""
        return self.trained - self.components.get("layer_norms", 0)

    def columns(self) -> dict[str, int]:
        """The components summed by the table column they stand in; some stand in none."""
        sums: dict[str, int] = {}
        for name, size in self.components.items():
            if column := self.method.component(name).column:
                sums[column] = sums.get(column, 0) + size
        return sums

    def percent(self) -> float:
        """Share of the backbone's parameters that train, in percent."""
        return 100 * self.trained / self.base

    def percent_own(self) -> float:
        """The same with the backbone's own rows."""
        return 100 * self.own.trained / self.own.base

    def total(self, tasks: int, with_norms: bool = False) -> float:
        """All parameters that `tasks` tasks need, as a multiple of the backbone's.

        The paper's column leaves the layer norms out, although every task keeps its own.
        """
        if "backbone" in self.components:
            return float(tasks)
        return 1 + tasks * (self.trained if with_norms else self.added) / self.base

    def closed_form(self) -> int | None:
        """The paper's formula on this backbone; `None` where it has none."""
        return self.method.closed_form(shape_of(self.backbone))


def count(backbone: str, method: Method) -> Count:
    """The `Count` of a method's settings on a backbone by name."""
    own = shape_of(backbone)
    problems = tuple(method.problems(own))
    if problems:
        return Count(backbone, method, {}, 0, 0, Sizes(0, own.parameters()), problems)
    shape = replace(own, vocabulary_size=min(own.vocabulary_size, PAPER_ROWS))
    components = {name: size for name, size in method.count(shape).items() if size}
    return Count(
        backbone=backbone,
        method=method,
        components=components,
        base=shape.parameters(),
        rows=shape.vocabulary_size,
        own=Sizes(sum(method.count(own).values()), own.parameters()),
    )


def reported(item: Count, table: ScoreTable) -> ScoreRow | None:
    """The paper's row of "table1" or "table2" if a `Count` is of its settings, else `None`."""
    row = paper_tables()[table].get(item.method.name)
    if row is None or item.base != PAPER_BASE or not _at_paper_settings(item.method):
        return None
    return row if row.get("n") == getattr(item.method, "n", None) else None


def reported_total(item: Count, table: ScoreTable) -> float | str | None:
    """The total of parameters that the paper prints for a `Count`, or `None`."""
    row = reported(item, table)
    return None if row is None else row["total_params"]


def reported_percent(item: Count) -> float | None:
    """The percentage that the paper prints for a `Count`, from either table, or `None`."""
    rows = (reported(item, table) for table in TASKS_OF)
    return next((row["trained_percent"] for row in rows if row), None)


def as_data(item: Count, verified: bool = False) -> Counted:
    """A `Count` as plain data; `verified` says whether the built model was counted too."""
    found: Counted = {
        "backbone": item.backbone,
        "method": item.method.name,
        "settings": item.method.settings(),
    }
    if item.problems:
        return {**found, "not_available": [problem.message for problem in item.problems]}
    return {
        **found,
        "components": item.components,
        "trained": item.trained,
        "percent": item.percent(),
        "vocabulary_rows": item.rows,
        "backbone_parameters": item.base,
        "own": {
            "trained": item.own.trained,
            "backbone_parameters": item.own.base,
            "percent": item.percent_own(),
        },
        "total_params": {str(tasks): item.total(tasks) for tasks in TASKS_OF.values()},
        "total_params_with_layer_norms": {
            str(tasks): item.total(tasks, with_norms=True) for tasks in TASKS_OF.values()
        },
        "closed_form": item.closed_form(),
        "paper": {
            "percent": reported_percent(item),
            "table1": reported_total(item, "table1"),
            "table2": reported_total(item, "table2"),
        },
        "verified": verified,
    }


def _at_paper_settings(method: Method) -> bool:
    """Whether all settings that count, but n, are the method's defaults, which are the paper's."""
    fields = type(method).model_fields
    return all(
        getattr(method, name) == field.default
        for name, field in fields.items()
        if name not in _OTHER
    )

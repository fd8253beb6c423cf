"""Exact parameter counts of methods on backbones, beside the paper's; no framework needed."""

from dataclasses import dataclass, replace

from compacter_cli.errors import Problem
from compacter_cli.paper.tables import paper_tables
from compacter_cli.t5.shapes import PAPER_ROWS, shape_of

PAPER_BASE = 222_882_048  # parameters of the paper's T5-base
TASKS_OF = {"table1": 8, "table2": 6}  # tasks of GLUE and of SuperGLUE in the paper's tables


@dataclass(frozen=True)
class Count:
    """What a method trains on a backbone.

    Attributes:
        backbone: name of the backbone.
        method: settings of the method.
        components: trained parameters by component, at `rows` of vocabulary.
        base: parameters of the backbone at `rows`.
        rows: the paper's 32,100 where the backbone has at least as many, else its own.
        own: (trained, base) with the backbone's own rows.
        problems: why the method cannot be had on this backbone; the counts are empty then.
    """

    backbone: str
    method: object
    components: dict[str, int]
    base: int
    rows: int
    own: tuple[int, int]
    problems: tuple[Problem, ...] = ()

    @property
    def trained(self):
        return sum(self.components.values())

    @property
    def added(self):
        """Parameters that each task adds to the backbone; layer norms replace, and do not add."""
        return self.trained - self.components.get("layer_norms", 0)

    def percent(self):
        """Share of the backbone's parameters that train, in percent."""
        return 100 * self.trained / self.base

    def percent_own(self):
        """The same with the backbone's own rows."""
        return 100 * self.own[0] / self.own[1]

    def total(self, tasks, with_norms=False):
        """All parameters that `tasks` tasks need, as a multiple of the backbone's.

        The paper's column leaves the layer norms out, although every task keeps its own.
        """
        if "backbone" in self.components:
            return float(tasks)
        return 1 + tasks * (self.trained if with_norms else self.added) / self.base


def count(backbone, method):
    """The `Count` of a method's settings on a backbone by name."""
    own = shape_of(backbone)
    problems = tuple(method.problems(own))
    if problems:
        return Count(backbone, method, {}, 0, 0, (0, 1), problems)
    shape = replace(own, vocabulary_size=min(own.vocabulary_size, PAPER_ROWS))
    components = {name: size for name, size in method.count(shape).items() if size}
    return Count(
        backbone=backbone,
        method=method,
        components=components,
        base=shape.parameters(),
        rows=shape.vocabulary_size,
        own=(sum(method.count(own).values()), own.parameters()),
    )


def reported(item, table):
    """The paper's row of "table1" or "table2" if a `Count` is of its settings, else `None`."""
    row = paper_tables()[table].get(item.method.name)
    if row is None or item.base != PAPER_BASE or not _at_paper_settings(item.method):
        return None
    return row if row.get("n") == getattr(item.method, "n", None) else None


def reported_percent(item):
    """The percentage that the paper prints for a `Count`, from either table, or `None`."""
    rows = (reported(item, table) for table in TASKS_OF)
    return next((row["trained_percent"] for row in rows if row), None)


def _at_paper_settings(method):
    """Whether all settings but n are the method's defaults, which are the paper's."""
    fields = type(method).model_fields
    return all(
        getattr(method, name) == field.default for name, field in fields.items() if name != "n"
    )

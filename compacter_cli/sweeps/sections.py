"""What a sweep file holds: tasks, arms, seeds, and what is searched or varied."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, field_validator, model_validator

from compacter_cli.errors import counted
from compacter_cli.paper.tables import paper_tables
from compacter_cli.section import Count, Dimension, Section, Text
from compacter_cli.training.run_directory import FREE

PaperTable: TypeAlias = Literal["table1", "table2", "table3", "figure4"]
Value: TypeAlias = Any
"""A value of a recipe's key, as TOML has it."""
Values = Annotated[list[Value], Field(min_length=1)]
Grid: TypeAlias = dict[str, Values]
"""Values to try by dotted key of the recipe; of several keys, all combinations."""

# What a sweep says in other ways: its tasks, its seeds, its arms, its directory.
OF_THE_SWEEP = {
    "task": "give tasks",
    "seed": "give seeds",
    "method.name": "methods are arms",
    "output.root": "give --output",
}


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed")
    return text


Name = Annotated[str, Field(pattern=r"^\w[\w.+-]{0,99}$")]
"""What a file or folder can be called on any system."""
Title = Annotated[Text, AfterValidator(_printable)]


def _may_set(value: dict[str, Value]) -> dict[str, Value]:
    for key in value:
        _may_be_set(key)
    return value


def _may_be_set(key: str) -> str:
    if key in OF_THE_SWEEP:
        raise ValueError(f"{key} is the sweep's to say: {OF_THE_SWEEP[key]}")
    return key


def _may_vary(key: str) -> str:
    if _may_be_set(key).startswith(FREE):
        raise ValueError(f"{key} changes no result, so there is nothing to compare")
    return key


def _distinct(values: list[Value], what: str = "") -> list[Value]:
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ValueError(f"{what}holds {value!r} twice")
    return values


def _checked_grid(grid: Grid) -> Grid:
    for key, values in grid.items():
        _may_vary(key)
        _distinct(values, f"{key} ")
    return grid


Search = Annotated[Grid, AfterValidator(_checked_grid)]
"""Values to choose among, by dotted key, each once."""
Settings = Annotated[dict[str, Value], AfterValidator(_may_set)]
"""Values by dotted key of the recipe."""
Varied = Annotated[Text, AfterValidator(_may_vary)]
"""Dotted key of the recipe whose values make other runs."""


class Axis(Section):
    """A key whose values are compared with one another, and not chosen among."""

    key: Varied
    """Dotted key of the recipe, such as data.max_train_samples."""
    values: Values
    along: Annotated[Grid, AfterValidator(_may_set)] = Field(default_factory=dict)
    """Keys that change with it: for each a list as long as `values`."""

    @field_validator("values")
    @classmethod
    def _each_once(cls, value: list[Value]) -> list[Value]:
        return _distinct(value)

    @model_validator(mode="after")
    def _as_long(self) -> Self:
        for key, values in self.along.items():
            if len(values) != len(self.values):
                raise ValueError(
                    f"along.{key} has {counted(len(values), 'value')} for the "
                    f"{len(self.values)} of {self.key}"
                )
        return self

    def settings(self, index: int) -> dict[str, Value]:
        """What the recipe's keys are at one of the values."""
        return {self.key: self.values[index], **{k: v[index] for k, v in self.along.items()}}


class Arm(Section):
    """One side of the comparison: a recipe for every task, and what is searched for it alone."""

    name: Title
    """Its name in the sweep; where no recipe says otherwise, a method's."""
    title: Title | None = None
    """Its name in tables; the method's own where left out."""
    recipe: Text | None = None
    """Recipe of its own, by path or shipped name, as the sweep's."""
    set: Settings = Field(default_factory=dict)
    """Values of its own, by dotted key; what is set for an arm is not searched for it."""
    search: Search = Field(default_factory=dict)
    """Values to choose among on validation, beside those searched for every arm."""

    @model_validator(mode="after")
    def _set_or_searched(self) -> Self:
        for key in self.set:
            if key in self.search:
                raise ValueError(f"{self.name} both sets and searches {key}: do one of them")
        return self


class Measuring(Section):
    """How training steps are measured, as `compacter profile` does."""

    steps: Count = 5
    """Training steps timed."""
    target: Dimension = 4
    """Tokens of every target."""
    memory_budget: Text | None = None
    """Memory within which each method's largest batch is found, such as 24GB."""


def _the_papers() -> list[Arm]:
    return [Arm(name=name) for name in paper_tables()["table1"]]


class Sweep(Section):
    """A comparison, completely: what `sweep.toml` in a sweep's directory holds."""

    name: Name
    """What it is called; a directory holds one sweep, of one name."""
    title: Title
    """The heading of its report."""
    measure: Measuring | None = None
    """Given, nothing is trained to its end: training steps are measured."""
    paper: PaperTable | None = None
    """The table or figure of the paper whose numbers stand beside ours."""
    tasks: Annotated[list[Text], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(ge=0, lt=2**31)]], Field(min_length=1)] = Field(
        default_factory=lambda: [42]
    )
    recipe: Text = "{task}_{arm}"
    """Recipe of an arm on a task, by path or shipped name."""
    set: Settings = Field(default_factory=dict)
    """Values for all runs, by dotted key of the recipe."""
    search: Search = Field(default_factory=dict)
    """Values to choose among on validation, the same for every arm."""
    axis: Axis | None = None
    arms: Annotated[list[Arm], Field(min_length=1)] = Field(default_factory=_the_papers)

    @field_validator("tasks", "seeds")
    @classmethod
    def _each_once(cls, value: list[Value]) -> list[Value]:
        return _distinct(value)

    @field_validator("arms")
    @classmethod
    def _each_name_once(cls, value: list[Arm]) -> list[Arm]:
        _distinct([arm.name for arm in value])
        return value

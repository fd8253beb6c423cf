"""TOML and `--set` to a frozen `Recipe`: precedence is --set, then the recipe, then defaults."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from compacter_cli.errors import (
    CompacterError,
    Problem,
    RecipeError,
    UsageError,
    absolute,
    excerpt,
    nearest_or_all,
    user_path,
)
from compacter_cli.methods.base import Method
from compacter_cli.recipe.choices import read_data, read_method
from compacter_cli.recipe.earlier import completed
from compacter_cli.recipe.labels import label_problems
from compacter_cli.recipe.problems import problems_of
from compacter_cli.recipe.sections import (
    BackboneSection,
    DataSection,
    OutputSection,
    OwnDataSection,
    TrainSection,
)
from compacter_cli.recipe.tables import (
    Overrides,
    is_pretraining,
    override,
    plain_tables,
    read_tables,
)
from compacter_cli.section import Section
from compacter_cli.t5.shapes import OWN_NAMES, shape_of
from compacter_cli.tasks import TASKS, task_of
from compacter_cli.tasks.own import FORMATS
from compacter_cli.tasks.published import PublishedTask


class Recipe(Section):
    """One run, completely: what `recipe.toml` in a run directory holds."""

    task: str
    """Task by name, such as glue/rte; or jsonl, csv, tsv for rows of one's own."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    """Decides everything random but the splits: initial values, dropout, batches, subsets."""
    backbone: BackboneSection
    method: SerializeAsAny[Method]
    """What is trained: the section's `name` decides which other keys it has."""
    # Made when needed, as are all defaults: an instance in the class would build its validators.
    data: Annotated[
        SerializeAsAny[DataSection | OwnDataSection],
        Field(default_factory=DataSection, validate_default=True),
    ]
    """Where the rows come from: `task` decides which keys it has."""
    train: TrainSection = Field(default_factory=TrainSection)
    output: OutputSection = Field(default_factory=OutputSection)

    @field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        known = (*TASKS, *FORMATS)
        if value not in known:
            raise ValueError(
                f'unknown task "{excerpt(value)}"; {nearest_or_all(value, known, "known tasks")}'
            )
        return value

    @field_validator("method", mode="plain")
    @classmethod
    def _by_its_name(cls, value: object) -> Method:
        return read_method(value)

    @field_validator("data", mode="plain")
    @classmethod
    def _by_the_task(cls, value: object, info: ValidationInfo) -> DataSection | OwnDataSection:
        return read_data(value, info.data.get("task"))

    def resolved(self) -> Self:
        """This recipe with nothing left to its surroundings: learning rate and prefix as they are
        by default where none is given, and local paths made absolute, so that it can be run again
        from anywhere.

        Raises:
            CompacterError: no rate is given, and the backbone is not there to tell which it is.
        """
        preset, data, train = self.backbone.preset, self.data, self.train
        if preset not in OWN_NAMES and os.path.isdir(user_path(preset)):
            preset = absolute(preset)
        paths = {
            key: absolute(value) for key in data.paths if (value := getattr(data, key)) is not None
        }
        prefix = data.prefix
        if prefix is None and self.method.prefixes_task:
            prefix = task_of(self).prefix or None
        rate = train.learning_rate or self._default_rate()
        initial = None if train.init_from is None else absolute(train.init_from)
        return self.model_copy(
            update={
                "backbone": self.backbone.model_copy(update={"preset": preset}),
                "data": data.model_copy(update={**paths, "prefix": prefix}),
                "train": train.model_copy(update={"learning_rate": rate, "init_from": initial}),
            }
        )

    def _default_rate(self) -> float:
        """The paper's rate in the paper's setting, the one that a search chose in any other."""
        searched, published = self.method.searched_rate, TASKS.get(self.task)
        if searched is None or (
            isinstance(published, PublishedTask) and shape_of(self.backbone.preset).as_large_as_base
        ):
            return self.method.learning_rate
        return searched


Given: TypeAlias = Recipe | Mapping[str, Any] | Path | str
"""What `load_recipe` takes for a recipe."""


def load_recipe(recipe: Given, overrides: Overrides = (), of_run: bool = False) -> Recipe:
    """The checked, resolved `Recipe` of a path or shipped name, or of what Python holds.

    Args:
        recipe: path of a TOML file, name of a shipped recipe with or without `.toml`, the tables
            of one as a mapping, or a `Recipe`.
        overrides: `{"section.key": value}`, or `section.key=value` strings applied in order.
        of_run: a run wrote it, of an earlier version perhaps: it is read as it was meant then.

    Raises:
        UsageError: no such recipe, not TOML, or an override without `=`.
        RecipeError: the recipe has problems; it lists all of them.
    """
    source, tables = _tables_of(recipe)
    return recipe_of(override(completed(tables) if of_run else tables, overrides), source)


def _tables_of(recipe: Given) -> tuple[str, dict[str, Any]]:
    """`(what it is called in errors, its tables)` of a recipe; nobody else's are changed."""
    if isinstance(recipe, Recipe):
        return "the recipe", recipe.plain()
    if isinstance(recipe, Mapping):
        return "the recipe", plain_tables(recipe)
    source, tables = read_tables(str(recipe))
    if is_pretraining(tables):
        raise UsageError(
            f"{source} is a recipe of pretraining, it has no task",
            f"compacter pretrain --recipe {recipe} --output DIR",
        )
    return source, tables


def recipe_of_run(tables: Mapping[str, Any]) -> Recipe:
    """The `Recipe` that a run wrote, of this version or an earlier one.

    Raises:
        ValidationError: it is none.
    """
    return Recipe.model_validate(completed(tables))


def recipe_of(tables: dict[str, Any], source: str) -> Recipe:
    """The checked, resolved `Recipe` of plain `tables`; `source` names them in errors."""
    try:
        recipe = Recipe.model_validate(tables).resolved()
    except ValidationError as error:
        problems = problems_of(error, Recipe, tables)
        wrong = {problem.key for problem in problems}
        rest = [p for p in _checks_of_the_rest(tables, error) if p.key not in wrong]
        raise RecipeError(source, [*problems, *rest]) from None
    problems = cross_checks(recipe)
    if problems:
        raise RecipeError(source, problems)
    return recipe


def cross_checks(recipe: Recipe) -> list[Problem]:
    """Problems between sections, found from the backbone's dimensions and vocabulary alone."""
    shape = shape_of(recipe.backbone.preset)
    return [*recipe.method.problems(shape), *_label_problems(recipe)]


def _checks_of_the_rest(tables: dict[str, Any], error: ValidationError) -> list[Problem]:
    """Cross-check problems of a recipe without its wrong keys, where that leaves a whole one."""
    rest = copy.deepcopy(tables)
    for item in error.errors():
        _drop(rest, item["loc"])
    try:
        return cross_checks(Recipe.model_validate(rest))
    except ValidationError:
        return []
    except CompacterError as other:
        message = str(other).removeprefix("backbone.preset: ")
        return [Problem("backbone.preset", message, other.hint or "")]


def _drop(tables: Any, location: tuple[int | str, ...]) -> None:
    """Take the value at a location out of plain tables, where there is one."""
    for key in location[:-1]:
        tables = tables.get(key) if isinstance(tables, dict) else None
    if location and isinstance(tables, dict):
        tables.pop(location[-1], None)


def _label_problems(recipe: Recipe) -> list[Problem]:
    from compacter_cli.t5.preset_places import find_vocabulary

    targets = task_of(recipe).targets
    vocabulary = find_vocabulary(recipe.backbone.preset) if targets else None
    if vocabulary is None:  # free text, or a KerasHub preset not on this disk: checked when it is
        return []
    key = "data.labels" if recipe.task in FORMATS else "backbone.preset"
    return label_problems(targets, vocabulary, recipe.data.target_length, key)

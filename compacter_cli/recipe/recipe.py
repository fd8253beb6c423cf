"""TOML and `--set` to a frozen `Recipe`: precedence is --set, then the recipe, then defaults."""

import copy
from typing import Annotated, Union

from pydantic import Field, ValidationError, field_validator

from compacter_cli.errors import (
    CompacterError,
    Problem,
    RecipeError,
    UsageError,
    absolute,
    did_you_mean,
    user_path,
)
from compacter_cli.methods import METHODS
from compacter_cli.recipe.problems import problems_of
from compacter_cli.recipe.sections import (
    BackboneSection,
    DataSection,
    OutputSection,
    OwnDataSection,
    TrainSection,
)
from compacter_cli.recipe.tables import is_pretraining, override, read_tables
from compacter_cli.section import Section
from compacter_cli.t5.shapes import OWN_NAMES, shape_of
from compacter_cli.tasks import TASKS, task_of
from compacter_cli.tasks.own import FORMATS


class Recipe(Section):
    """One run, completely: what `recipe.toml` in a run directory holds."""

    task: str
    """Task by name, such as glue/rte; or jsonl, csv, tsv for rows of one's own."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    """Decides everything random but the splits: initial values, dropout, batches, subsets."""
    backbone: BackboneSection
    method: Annotated[Union[tuple(METHODS.values())], Field(discriminator="name")]  # noqa: UP007
    data: DataSection = DataSection()
    train: TrainSection = TrainSection()
    output: OutputSection = OutputSection()

    @field_validator("task")
    @classmethod
    def _known_task(cls, value):
        known = (*TASKS, *FORMATS)
        if value not in known:
            hint = did_you_mean(value, known) or "known tasks: " + ", ".join(known)
            raise ValueError(f'unknown task "{value}"; {hint}')
        return value

    def resolved(self):
        """This recipe with nothing left to its surroundings: the method's learning rate where none
        is given, and local paths made absolute, so that it can be run again from anywhere."""
        preset, data, train = self.backbone.preset, self.data, self.train
        if preset not in OWN_NAMES and user_path(preset).is_dir():
            preset = absolute(preset)
        paths = {
            key: absolute(value) for key in data.paths if (value := getattr(data, key)) is not None
        }
        rate = train.learning_rate or self.method.learning_rate
        return self.model_copy(
            update={
                "backbone": self.backbone.model_copy(update={"preset": preset}),
                "data": data.model_copy(update=paths),
                "train": train.model_copy(update={"learning_rate": rate}),
            }
        )


class OwnRecipe(Recipe):
    """One run on rows of one's own."""

    data: OwnDataSection


def recipe_class(tables):
    """The kind of recipe that plain `tables` are: what [data] holds depends on the task."""
    return OwnRecipe if tables.get("task") in FORMATS else Recipe


def load_recipe(name, overrides=()):
    """The checked, resolved `Recipe` of a path or shipped name.

    Args:
        name: path of a TOML file, or the name of a shipped recipe with or without `.toml`.
        overrides: `section.key=value` strings, applied in order.

    Raises:
        UsageError: no such recipe, not TOML, or an override without `=`.
        RecipeError: the recipe has problems; it lists all of them.
    """
    source, tables = read_tables(name)
    if is_pretraining(tables):
        raise UsageError(
            f"{source} is a recipe of pretraining, it has no task",
            f"compacter pretrain --recipe {name} --output DIR",
        )
    return recipe_of(override(tables, overrides), source)


def recipe_of(tables, source):
    """The checked, resolved `Recipe` of plain `tables`; `source` names them in errors."""
    try:
        recipe = recipe_class(tables).model_validate(tables).resolved()
    except ValidationError as error:
        problems = problems_of(error, recipe_class(tables), (Recipe, OwnRecipe))
        raise RecipeError(source, [*problems, *_checks_of_the_rest(tables, error)]) from None
    problems = cross_checks(recipe)
    if problems:
        raise RecipeError(source, problems)
    return recipe


def cross_checks(recipe):
    """Problems between sections, found from the backbone's dimensions and vocabulary alone."""
    shape = shape_of(recipe.backbone.preset)
    return [*recipe.method.problems(shape), *_label_problems(recipe)]


def _checks_of_the_rest(tables, error):
    """Cross-check problems of a recipe without its wrong keys, where that leaves a whole one."""
    rest = copy.deepcopy(tables)
    for item in error.errors():
        location = list(item["loc"])
        if location[:1] == ["method"] and len(location) > 1:
            del location[1]
        table = rest
        for key in location[:-1]:
            table = table.get(key, {}) if isinstance(table, dict) else {}
        if location and isinstance(table, dict):
            table.pop(location[-1], None)
    try:
        return cross_checks(recipe_class(rest).model_validate(rest))
    except ValidationError:
        return []
    except CompacterError as other:
        message = str(other).removeprefix("backbone.preset: ")
        return [Problem("backbone.preset", message, other.hint or "")]


def _label_problems(recipe):
    from compacter_cli.t5.loading import find_vocabulary

    targets = task_of(recipe).targets
    vocabulary = find_vocabulary(recipe.backbone.preset) if targets else None
    if vocabulary is None:  # free text, or a KerasHub preset not on this disk: checked when it is
        return []
    longest, length = vocabulary.longest(targets)
    if length <= recipe.data.target_length:
        return []
    return [
        Problem(
            "data.target_length",
            f'the label "{longest}" is {length} tokens long, more than {recipe.data.target_length}',
            f"set it to {length} or more",
        )
    ]

"""TOML and `--set` to a frozen `PretrainingRecipe`, checked before a framework is imported."""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError

from compacter_cli.errors import Problem, RecipeError, UsageError, absolute
from compacter_cli.pretraining.corruption import sentinels_needed
from compacter_cli.pretraining.pieces import smallest_vocabulary
from compacter_cli.pretraining.sections import (
    BackboneSection,
    CorruptionSection,
    OutputSection,
    TextSection,
    TrainSection,
    VocabularySection,
)
from compacter_cli.recipe.problems import problems_of
from compacter_cli.recipe.tables import override, read_tables
from compacter_cli.section import Section
from compacter_cli.t5.shapes import MOST_PARAMETERS


class PretrainingRecipe(Section):
    """One pretraining, completely."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    """Decides the random start, the order of the pieces, their corruption, and dropout."""
    text: TextSection
    vocabulary: VocabularySection = Field(default_factory=VocabularySection)
    backbone: BackboneSection = Field(default_factory=BackboneSection)
    corruption: CorruptionSection = Field(default_factory=CorruptionSection)
    train: TrainSection = Field(default_factory=TrainSection)
    output: OutputSection = Field(default_factory=OutputSection)

    def resolved(self) -> Self:
        """This recipe with its files' paths made absolute, so that it runs from anywhere."""
        if self.text.files is None:
            return self
        files = [absolute(path) for path in self.text.files]
        return self.model_copy(update={"text": self.text.model_copy(update={"files": files})})


def load_pretraining(name: str, overrides: Iterable[str] = ()) -> PretrainingRecipe:
    """The checked, resolved `PretrainingRecipe` of a path or shipped name.

    Raises:
        UsageError: no such recipe, not TOML, or one of `compacter train`.
        RecipeError: the recipe has problems; it lists all of them.
    """
    source, tables = read_tables(name)
    if "task" in tables:
        raise UsageError(
            f"{source} is a recipe of training, it has a task and no text to pretrain on",
            f"compacter train --recipe {name}",
        )
    tables = override(_without_the_other_text(tables, overrides), overrides)
    try:
        recipe = PretrainingRecipe.model_validate(tables).resolved()
    except ValidationError as error:
        raise RecipeError(source, problems_of(error, PretrainingRecipe, tables)) from None
    if problems := _cross_checks(recipe):
        raise RecipeError(source, problems)
    return recipe


def _without_the_other_text(tables: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """`tables` without the recipe's `text.world` where `--set` gives `text.files`, or reverse."""
    given = {text.partition("=")[0].strip() for text in overrides}
    text = tables.get("text")
    if isinstance(text, dict):
        for key, other in (("text.files", "world"), ("text.world", "files")):
            if key in given:
                text.pop(other, None)
        if "text.files" in given:
            text.pop("world_exercises", None)
    return tables


def _cross_checks(recipe: PretrainingRecipe) -> list[Problem]:
    """Problems between sections."""
    sentinels, length = recipe.vocabulary.sentinels, recipe.train.length
    needed = sentinels_needed(length, recipe.corruption)
    smallest = smallest_vocabulary(sentinels)
    problems = []
    if sentinels < needed:
        problems.append(
            Problem(
                "vocabulary.sentinels",
                f"{sentinels} are too few for pieces of {length} tokens (train.length) with this "
                "corruption",
                f"set it to {needed} or more",
            )
        )
    parameters = recipe.backbone.shape(recipe.vocabulary.size).parameters()
    if parameters > MOST_PARAMETERS:
        problems.append(
            Problem(
                "backbone",
                f"a T5 of {parameters:,} parameters; more than {MOST_PARAMETERS:,} are not tried",
                "make it smaller",
            )
        )
    if recipe.vocabulary.size < smallest:
        problems.append(
            Problem(
                "vocabulary.size",
                f"{recipe.vocabulary.size} is less than what every vocabulary holds: sentinels, "
                "special pieces, letters, digits and punctuation",
                f"set it to {smallest} or more",
            )
        )
    return problems

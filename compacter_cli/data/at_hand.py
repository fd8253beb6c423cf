"""What of a recipe's rows and vocabulary is on this disk, looked at without a framework."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.errors import MissingResourceError
from compacter_cli.tasks import task_of

if TYPE_CHECKING:
    from compacter_cli.data.rows import Rows
    from compacter_cli.data.survey import Survey
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.vocabulary import Vocabulary


def reads_files(recipe: Recipe) -> bool:
    """Whether a recipe's rows are made, or in files that are read without TFDS."""
    from compacter_cli.recipe.sections import DataSection
    from compacter_cli.tasks.base import GeneratedTask

    data = recipe.data
    if not isinstance(data, DataSection) or isinstance(task_of(recipe), GeneratedTask):
        return True
    return data.archive is not None or data.folder is not None


def look_over(recipe: Recipe, rows: Rows | None, vocabulary: Vocabulary | None) -> Survey | None:
    """The survey of the first rows of each file; `None` without rows or their vocabulary."""
    from compacter_cli.data.survey import survey_of_files

    if rows is None or vocabulary is None:
        return None
    return survey_of_files(task_of(recipe), rows.splits, vocabulary, recipe.data, rows.blank)


def vocabulary_at_hand(recipe: Recipe) -> Vocabulary | None:
    """The vocabulary of the recipe's backbone, where it is on this disk."""
    from compacter_cli.t5.preset_places import cached_directory, find_vocabulary
    from compacter_cli.t5.vocabulary import read_vocabulary

    preset = recipe.backbone.preset
    if found := find_vocabulary(preset):
        return found
    directory = cached_directory(preset)
    return read_vocabulary(directory) if directory else None


def mean_lengths(looked: Survey | None) -> tuple[float, float] | None:
    """Mean tokens of a source and of a target of the rows that were looked over."""
    return (looked.mean_source, looked.mean_target) if looked else None


def lengths_at_hand(recipe: Recipe) -> tuple[float, float] | None:
    """The `mean_lengths` of a recipe's rows; `None` where they or the vocabulary are not here."""
    from compacter_cli.data.sources import find_rows

    if not reads_files(recipe):
        return None
    try:
        rows = find_rows(task_of(recipe), recipe.data, offline=True).load()
    except MissingResourceError:
        return None
    return mean_lengths(look_over(recipe, rows, vocabulary_at_hand(recipe)))

"""The directory of a pretraining: whose it is, whether it may be written, how it is continued."""

import shlex
from pathlib import Path

from compacter_cli.errors import UsageError
from compacter_cli.files import present
from compacter_cli.pretraining.preset import FILES, is_preset
from compacter_cli.pretraining.recipe import PretrainingRecipe
from compacter_cli.training.claim import (
    METRICS,
    RECIPE,
    Kind,
    check_same_recipe,
    is_vacant,
    pretraining_in,
)
from compacter_cli.training.lock import check_free

SUMMARY, STATE, PRESET = "pretraining.json", "state", "preset"
PRETRAINING = Kind(
    "is no pretraining", frozenset({RECIPE, METRICS, SUMMARY, STATE, PRESET, *FILES}), True
)


def check_vacant(directory: Path, overwrite: bool = False) -> None:
    """Raise `UsageError` unless a new pretraining may be written to `directory`."""
    check_free(directory)
    if PRETRAINING.may_take(directory, overwrite):
        return
    if is_preset(directory):
        raise UsageError(
            f"{directory} holds a finished pretraining already",
            "choose another --output, or give --overwrite to replace it",
        )
    raise UsageError(
        f"{directory} holds an unfinished pretraining",
        "give --resume to continue it, --overwrite to replace it, or another --output",
    )


def check_resumable(directory: Path, recipe: PretrainingRecipe) -> None:
    """Raise `UsageError` unless the pretraining in `directory` is of `recipe` and unfinished."""
    check_free(directory)
    found = pretraining_in(directory)
    if found is None:
        way_on = (
            "leave --resume out to begin"
            if is_vacant(directory)
            else "give the --output of the interrupted one"
        )
        raise UsageError(f"nothing to resume: {directory} holds no pretraining", way_on)
    if is_preset(directory):
        raise UsageError(
            f"nothing to resume: the pretraining in {directory} is finished",
            f"use it with --set backbone.preset={shlex.quote(str(directory))}",
        )
    check_same_recipe(directory, found, recipe.plain())
    if not present(directory / STATE).is_dir():
        raise UsageError(
            f"nothing to resume: {directory} holds no saved state",
            "begin again with another --output",
        )


def resume_command(directory: Path) -> str:
    """The command that continues the interrupted pretraining in `directory`."""
    recipe, output = shlex.quote(str(directory / RECIPE)), shlex.quote(str(directory))
    return f"compacter pretrain --recipe {recipe} --output {output} --resume"

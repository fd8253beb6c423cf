"""The directory of a pretraining: whose it is, how far, and whether it may be written."""

from pathlib import Path
from typing import cast

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.files import present, read_json
from compacter_cli.pretraining.preset import FILES, is_preset
from compacter_cli.pretraining.recipe import PretrainingRecipe
from compacter_cli.pretraining.records import Pretrained
from compacter_cli.training.claim import (
    METRICS,
    RECIPE,
    Kind,
    check_same_recipe,
    is_vacant,
    pretraining_in,
)
from compacter_cli.training.lock import check_free
from compacter_cli.training.log_file import LOG
from compacter_cli.training.run_state import Standing

SUMMARY, STATE, PRESET = "pretraining.json", "state", "preset"
PRETRAINING = Kind(
    "is no pretraining",
    frozenset({RECIPE, METRICS, SUMMARY, STATE, PRESET, LOG, *FILES}),
    True,
    common=frozenset({RECIPE, LOG}),
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
        "give --resume to go on with it, --overwrite to replace it, or another --output",
    )


def standing(directory: Path, recipe: PretrainingRecipe) -> Standing:
    """How far the pretraining of `recipe` in `directory` is.

    Raises:
        UsageError: the directory holds something else, a pretraining of another recipe, or an
            unfinished one without a state to go on from.
    """
    if is_vacant(directory):
        return "vacant"
    check_free(directory)
    found = pretraining_in(directory)
    if found is None:
        raise UsageError(f"{directory} holds no pretraining", "choose another --output")
    check_same_recipe(directory, found, recipe.plain())
    if is_preset(directory):
        return "finished"
    if not present(directory / STATE).is_dir():
        raise UsageError(
            f"nothing to resume: {directory} holds no saved state",
            "begin again with another --output",
        )
    return "unfinished"


def read_summary(directory: Path) -> Pretrained:
    """What a finished pretraining came to, as it wrote it.

    Raises:
        CompacterError: that is damaged.
    """
    path = directory / SUMMARY
    try:
        return cast(Pretrained, {"preset": str(directory), **read_json(path)})
    except (OSError, ValueError, TypeError) as error:
        raise CompacterError(
            f"{path} is damaged: {error}", "the preset beside it is whole all the same"
        ) from error

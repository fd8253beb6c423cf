"""The directory of a training run: what it holds, and what is read from it again."""

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from compacter_cli.adapters.manifest import BEST, holds_adapter, read_manifest
from compacter_cli.errors import CompacterError, UsageError, did_you_mean, excerpt, user_path
from compacter_cli.files import place_of, present, read_json, write_json, write_text
from compacter_cli.recipe.recipe import Recipe
from compacter_cli.recipe.tables import read_tables
from compacter_cli.section import flat
from compacter_cli.training.claim import METRICS, RECIPE, Kind, claim, pretraining_in
from compacter_cli.training.environment import ENVIRONMENT
from compacter_cli.training.lock import LOCK, Lock, check_free
from compacter_cli.training.log_file import LOG
from compacter_cli.training.records import RESULT_FORMAT, RESULT_VERSION, Environment, Result

_DEEPEST = 5  # of a sweep, runs/<task's benchmark>/<task>/<method>/<run>
RESULT, STATES = "result.json", "state"
PREDICTIONS = "predictions.jsonl"
WATCHED = ("tensorboard", "wandb")  # folders of what watches a run
STATE_NAME = re.compile(r"\d{8,}e?")  # update, and whether its epoch is scored
ADAPTERS = (BEST, "last")
# Keys of a recipe that change no result: a run may go on with others. (That another execution may
# draw another dropout is told when it does.)
FREE = (
    "train.save_every", "train.save_minutes", "train.not_finite", "train.execution", "output.",
)  # fmt: skip
# What FREE keys had in a run's name before they were free: names stay as they are.
_IN_NAMES = {"train.execution": "lean"}
RUN = Kind(
    "is not a run",
    frozenset(
        {RECIPE, RESULT, METRICS, ENVIRONMENT, STATES, PREDICTIONS, LOG, *ADAPTERS, *WATCHED}
    ),
    False,
    common=frozenset({RECIPE, PREDICTIONS, LOG, *WATCHED}),
)


def run_directory(recipe: Recipe, output: Path | None = None) -> Path:
    """Where a recipe's run goes: `output`, or <root>/<task>/<method>/<preset>-s<seed>-<hash>."""
    if output is not None:
        return Path(output)
    kept = {key: value for key, value in flat(recipe.plain()) if not key.startswith(FREE)}
    named = json.dumps({**kept, **_IN_NAMES}, sort_keys=True)
    digest = hashlib.sha256(named.encode()).hexdigest()[:8]
    preset = Path(recipe.backbone.preset).name
    name = f"{preset}-s{recipe.seed}-{digest}"
    return Path(recipe.output.root) / recipe.task / recipe.method.name / name


def check_vacant(directory: Path, overwrite: bool = False) -> None:
    """Raise `UsageError` unless a run may be written to `directory`."""
    directory = Path(directory)
    check_free(directory)
    if RUN.may_take(directory, overwrite):
        return
    state = "finished" if (directory / RESULT).is_file() else "unfinished"
    raise UsageError(
        f"{directory} holds a run already ({state})",
        ("give --resume to go on with it, " if state == "unfinished" else "")
        + "choose another --output, or give --overwrite to replace it",
    )


def start_run(
    directory: Path,
    recipe: Recipe,
    environment: Environment,
    overwrite: bool = False,
    lock: Lock | None = None,
) -> Lock:
    """Claim `directory` and write the recipe and environment into it; gives its lock, held.

    `lock` is that of `directory` where it is held already.

    Raises:
        UsageError: it is taken, or cannot be written.
    """
    directory = Path(directory)
    if lock is None:
        check_vacant(directory, overwrite)
    lock = claim(directory, RUN, recipe, overwrite, lock)
    try:
        write_json(directory / ENVIRONMENT, environment)
    except BaseException:
        lock.release()
        raise
    return lock


def wrote_recipe(name: str) -> bool:
    """Whether a run, of this version or an earlier one, wrote the recipe that is called `name`."""
    path = user_path(name)
    return path.name == RECIPE and RUN.holds(path.parent)


def mend_recipe(directory: Path, recipe: Recipe) -> None:
    """Write recipe.toml again where a run that goes on has lost it."""
    if not _holds_recipe(directory):
        write_text(directory / RECIPE, recipe.toml())


def remove_states(directory: Path) -> None:
    """Remove the saved states of a run that is finished."""
    shutil.rmtree(Path(directory) / STATES, ignore_errors=True)


def is_run(directory: Path) -> bool:
    """Whether `directory` is the directory of a training run.

    A recipe makes it one, or an adapter: that holds all that is needed, and a loss of power may
    have taken the recipe.
    """
    directory = Path(directory)
    written = (directory / RECIPE).is_file() or bool(_adapters_in(directory))
    return written and pretraining_in(directory) is None


def is_unfinished(run: Path) -> bool:
    """Whether a run has a state that it may go on from, and no result."""
    return present(Path(run) / STATES).is_dir() and not (Path(run) / RESULT).exists()


def _adapters_in(directory: Path) -> list[str]:
    return [name for name in ADAPTERS if present(directory / name).is_dir()]


def adapter_of_run(run: Path, which: str = "best") -> Path:
    """The adapter directory of a run, "best" or "last"; one that is given itself is taken.

    Raises:
        UsageError: `run` is no run directory, it has no such adapter, or has saved nothing yet.
    """
    if which in ADAPTERS and holds_adapter(Path(run)):
        return Path(run)
    if not is_run(run):
        raise UsageError(f"{run} is no run directory", _run_meant(Path(run)))
    there = _adapters_in(Path(run))
    if which not in ADAPTERS:
        hint = did_you_mean(which, ADAPTERS)
        has = " and ".join(there) or "none yet"
        raise UsageError(f"--which {which}: the adapters of {run} are {has}", hint or None)
    if which not in there:
        raise UsageError(
            f"{run} has no {which} adapter: the run ended before its first epoch",
            f"--which {there[0]} takes the {there[0]} one, which is there" if there else None,
        )
    return Path(run) / which


def _run_meant(given: Path) -> str:
    """Which directory may be meant by what is no run: that of a file in it, or one below."""
    if given.is_file() and is_run(given.parent):
        return f"give its directory: {given.parent}"
    patterns = ("*/" * deep + RECIPE for deep in range(1, _DEEPEST + 1))
    below = (recipe.parent for pattern in patterns for recipe in sorted(given.glob(pattern)))
    if found := next(filter(is_run, below), None):
        return f"give the directory of a run below it, such as {found}"
    return "give the directory that train printed"


def read_result(directory: Path) -> Result | None:
    """The run's result.json, or `None` where the run did not finish.

    Raises:
        CompacterError: it is damaged, or of a later version.
    """
    path = Path(directory) / RESULT
    try:
        result = read_json(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CompacterError(f"{path} is damaged: {error}") from error
    if not isinstance(result, dict):
        raise CompacterError(f"{path} is damaged: expected an object, got {type(result).__name__}")
    _check_version(path, result)
    return cast(Result, result)


def _check_version(path: Path, result: Mapping[str, Any]) -> None:
    """Refuse what a later version meant otherwise; the first results have no version."""
    found = result.get("format", RESULT_FORMAT), result.get("version", RESULT_VERSION)
    if found[0] != RESULT_FORMAT:
        raise CompacterError(f"{path} is damaged: it is not the result of a run")
    if found[1] != RESULT_VERSION:
        raise CompacterError(
            f"{path} has format version {excerpt(found[1])}, this compacter reads {RESULT_VERSION}",
            "read it with the version that wrote it",
        )


def check_nothing_to_lose(directory: Path) -> None:
    """Raise unless a run without saved states is one that came to nothing, to be begun again.

    Its first epoch's adapters may be there, saved just before the state that was to follow: they
    will be the same.

    Raises:
        UsageError: it is finished, or no run at all.
        CompacterError: it was finished, or holds later adapters.
    """
    directory = Path(directory)
    if (directory / RESULT).exists():
        _check_finished(directory)
    strange = [entry.name for entry in _entries(directory / STATES) if not _is_state(entry)]
    if strange or (_is_begun(directory) and not _holds_recipe(directory)):
        what = f"{STATES}/{strange[0]} is no state" if strange else f"it has no {RECIPE}"
        raise UsageError(f"{directory} is no run to begin again: {what}", "choose another --output")
    for which in _adapters_in(directory):
        if read_manifest(directory / which).get("metrics", {}).get("epoch") != 1:
            raise CompacterError(
                f"{directory} holds a {which} adapter but no state to go on from",
                "begin again with --overwrite, or with another --output",
            )


def _check_finished(directory: Path) -> None:
    try:
        read_result(directory)
    except CompacterError as error:
        raise CompacterError(
            f"{directory} was finished, but its {RESULT} is damaged and its states are removed",
            "score its adapter with compacter evaluate, or begin again with --overwrite",
        ) from error
    raise UsageError(f"{directory} was finished by another process just now")


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []


def _is_begun(directory: Path) -> bool:
    """Whether anything is there whole; a process killed as it began leaves halves alone."""
    return any(e.name != LOCK and place_of(e) == e.name for e in _entries(directory))


def _is_state(entry: Path) -> bool:
    return STATE_NAME.fullmatch(place_of(entry)) is not None


def _holds_recipe(directory: Path) -> bool:
    """Whether a readable recipe of a training is there."""
    try:
        _, tables = read_tables(str(directory / RECIPE))
    except UsageError:
        return False
    return "task" in tables

"""A recipe trained into a run directory, from the checks before it to its result."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.errors import UsageError
from compacter_cli.training.processes import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from compacter_cli.data.sources import RowSource
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.training.display import Display
    from compacter_cli.training.processes import Processes
    from compacter_cli.training.records import Result


def check_options(resume: bool, strict: bool, overwrite: bool) -> None:
    """Raise `UsageError` for options that do not go together."""
    if resume and overwrite:
        raise UsageError("--resume goes on and --overwrite begins again", "give one of them")
    if strict and not resume:
        raise UsageError("--strict is of --resume", "give both, or leave it out")


def check_share(recipe: Recipe, processes: Processes) -> None:
    """Raise `UsageError` for processes that would have nothing to do."""
    size = recipe.train.batch_size
    if processes.count > size:
        raise UsageError(
            f"{processes.count} processes share batches of {size} (train.batch_size)",
            f"start {size} at most; or --set train.batch_size={processes.count}",
        )


def finished(recipe: Recipe, directory: Path, processes: Processes = ALONE) -> Result | None:
    """The result of the run of `recipe` in `directory`, `None` where it is not finished.

    Raises:
        UsageError: `directory` holds something else, or the run is not to be gone on with.
    """
    return processes.of_main(lambda: _finished(recipe, directory))


def _finished(recipe: Recipe, directory: Path) -> Result | None:
    from compacter_cli.training.run_directory import read_result, remove_states
    from compacter_cli.training.run_state import standing

    if standing(directory, recipe) != "finished":
        return None
    remove_states(directory)  # still there where the process was killed at its very end
    result = read_result(directory)
    # It may have been moved, or be looked at from elsewhere.
    return None if result is None else {**result, "run": str(directory)}


def check_before_training(
    recipe: Recipe,
    directory: Path,
    offline: bool = False,
    overwrite: bool = False,
    resume: bool = False,
) -> RowSource:
    """Everything that can be known to fail without a framework, within seconds.

    Returns:
        Where the rows are, looked over.
    """
    from compacter_cli.data.sources import find_rows
    from compacter_cli.t5.preset_places import check_preset
    from compacter_cli.tasks import task_of
    from compacter_cli.training.claim import check_writable, is_vacant
    from compacter_cli.training.initial import check_initial
    from compacter_cli.training.run_directory import check_vacant
    from compacter_cli.training.watching import check_watchers

    if not resume:
        check_vacant(directory, overwrite)
    if not resume or is_vacant(directory):
        check_initial(recipe, directory)
    check_watchers(recipe.output.watch)
    check_writable(directory)
    check_preset(recipe.backbone.preset, offline)
    return find_rows(task_of(recipe), recipe.data, offline)


def train(
    *,
    recipe: Recipe,
    directory: Path,
    device: str | None = None,
    offline: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    strict: bool = False,
    display: Display | None = None,
    source: RowSource | None = None,
    processes: Processes = ALONE,
    command: str | None = None,
) -> Result:
    """Train a recipe into a run directory.

    Args:
        recipe: resolved recipe.
        directory: run directory to write; taken ones are refused without `overwrite`.
        device: "cpu" or "cuda"; a GPU where there is one.
        offline: fetch nothing.
        overwrite: replace a run that is there already.
        resume: go on with the run that is there; begin it where there is none.
        strict: fail rather than go on from an older state than the newest saved.
        display: what is told while it goes on; silent by default.
        source: what `check_before_training` found, to save looking again; it tells that `finished`
            was asked, too.
        processes: those that train the run together, as `joined` gives them; the main one writes
            and tells.
        command: the one that goes on with what the run is part of, or has more options than
            `resume_command` knows; told where the run ends early.

    Returns:
        The result, as in the run's `result.json`.

    Raises:
        CompacterError: the run cannot be started, or fails.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP; the run can be resumed.
    """
    from compacter_cli.training.claim import is_vacant
    from compacter_cli.training.memory import memory_advice
    from compacter_cli.training.session import Session

    directory = Path(directory)
    check_options(resume, strict, overwrite)
    check_share(recipe, processes)
    if resume and source is None and (result := finished(recipe, directory, processes)) is not None:
        return result
    source = source or check_before_training(recipe, directory, offline, overwrite, resume)
    begun = processes.of_main(lambda: resume and not is_vacant(directory))
    with (
        memory_advice(recipe.train, directory),
        _watching(display, recipe, directory, offline, processes) as watching,
        Session(recipe, directory, device, source, watching, processes, command) as session,
    ):
        session.resume(strict) if begun else session.start(overwrite)
        session.train()
        return session.finish()


@contextmanager
def _watching(
    display: Display | None, recipe: Recipe, directory: Path, offline: bool, processes: Processes
) -> Iterator[Display]:
    """The display of the main process, watched as the recipe says; the others show nothing."""
    from compacter_cli.training.display import Display
    from compacter_cli.training.watching import Watching

    if not processes.main:
        yield Display()
        return
    with Watching(display or Display(), recipe, directory, offline) as watching:
        yield watching

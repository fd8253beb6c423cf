"""What a run writes into its directory, and when: metrics, states, adapters and the result."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from compacter_cli.errors import CompacterError, NotFiniteError
from compacter_cli.files import sweep, write_json
from compacter_cli.recipe.earlier import completed
from compacter_cli.section import differences
from compacter_cli.training import run_directory as runs
from compacter_cli.training.claim import hold
from compacter_cli.training.environment import note_resumed
from compacter_cli.training.metrics_file import append_metrics, cut_metrics, sync_metrics
from compacter_cli.training.space import check_space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import torch

    from compacter_cli.adapters.manifest import Unsigned
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.tasks.base import Row, Task
    from compacter_cli.training.display import Display
    from compacter_cli.training.lock import Lock
    from compacter_cli.training.records import Environment, EpochLine, Result
    from compacter_cli.training.run_state import RunRecord
    from compacter_cli.training.trainer import State


class RunWriter:
    """A run's directory in the hands of the process that writes it.

    `claim` or `hold` comes first and takes the lock, `release` gives it back. Whatever is written
    between is written whole, and only while the directory is still there and this process's.

    Args:
        recipe: resolved recipe; it says when a state is due, and how much metrics.jsonl matters.
        directory: run directory.
        display: what is told.
        command: the one that goes on with the run, for what is told.

    Attributes:
        saved: update and epochs of the latest state.
    """

    def __init__(
        self,
        recipe: Recipe,
        directory: Path,
        display: Display,
        command: str,
    ) -> None:
        self.directory = directory
        self.command = command
        self.saved: tuple[int, int] | None = None
        self._recipe, self._display = recipe, display
        self._lock: Lock | None = None
        self._saved_at = 0.0
        self._without_metrics = False

    # The directory.

    def claim(self, environment: Environment, overwrite: bool) -> None:
        """Take the directory for a new run, in the place of what it held if `overwrite`.

        Raises:
            UsageError: it is taken, or cannot be written.
        """
        self._lock = runs.start_run(
            self.directory, self._recipe, environment, overwrite, self._lock
        )

    def hold(self) -> None:
        """Take the lock of the directory, of a run that is to be gone on with.

        Raises:
            UsageError: another process holds it, or nothing can be written there.
        """
        self._lock = hold(self.directory)

    def release(self) -> None:
        """Give the lock back, where it is held."""
        if self._lock is not None:
            self._lock.release()

    @property
    def _held(self) -> Lock:
        assert self._lock is not None  # since `claim` or `hold`
        return self._lock

    def tell_of_no_lock(self) -> None:
        """Say so where the file system knows no locks."""
        if not self._held.certain:
            self._display.line("this file system knows no locks: let no second process write here")

    def check_space(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Refuse to begin where a state of trained `tensors` has no room; say what may have none.

        Raises:
            CompacterError: there is no room for one.
        """
        from compacter_cli.training.checkpoints import KEPT, MANIFEST_BYTES

        weights = sum(tensor.nbytes for tensor in tensors.values())
        once = 3 * weights + MANIFEST_BYTES  # AdamW keeps two moments
        adapters = 3 * (weights + MANIFEST_BYTES)  # the best, the last, and one in the making
        check_space(self.directory, once, (KEPT + 1) * once + adapters, self._display)

    def note_resumed(self, environment: Environment, update: int, damaged: Iterable[str]) -> None:
        """Write down that the run goes on after `update`, and clear away what it left half done.

        `damaged` names the states that are so.
        """
        from compacter_cli.training.checkpoints import remove, remove_older

        note_resumed(self.directory, environment, update)
        runs.mend_recipe(self.directory, self._recipe)
        remove(self.directory, damaged)
        remove_older(self.directory)
        sweep(self.directory, runs.RUN.own.__contains__)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write to the directory inside; where it is gone or replaced, that alone is said."""
        self._held.check()
        try:
            yield
        except CompacterError:
            self._held.check()
            raise

    # metrics.jsonl.

    def log(self, entry: Mapping[str, Any]) -> None:
        """Add a line to metrics.jsonl."""
        self._do_with_metrics(lambda: append_metrics(self.directory, **entry))

    def cut_metrics(self, update: int, epochs: int) -> None:
        """Take out of metrics.jsonl what a run that goes on from there will write again."""
        self._do_with_metrics(lambda: cut_metrics(self.directory, update, epochs))

    def _do_with_metrics(self, write: Callable[[], None]) -> None:
        """Write to metrics.jsonl; what it means that it cannot be, the recipe says."""
        self._held.check()
        if self._without_metrics:
            return
        try:
            write()
        except CompacterError as error:
            self._held.check()
            if self._recipe.output.without_metrics == "stop":
                raise
            self._without_metrics = True
            self._display.line(f"{error}; the run goes on without metrics.jsonl")

    # States.

    def start_clock(self) -> None:
        """Count the minutes after which a state is due from now on."""
        self._saved_at = time.perf_counter()

    def is_due(self, update: int) -> bool:
        """Whether a state is to be saved after an update, at whatever point of its epoch."""
        section = self._recipe.train
        minutes = (time.perf_counter() - self._saved_at) / 60
        counted = section.save_every is not None and update % section.save_every == 0
        return counted or minutes >= section.save_minutes

    def save_state(self, state: State, record: RunRecord, scored: bool) -> None:
        """Save a state, behind the lines of metrics.jsonl that lead to it.

        Raises:
            NotFiniteError: it is not finite.
            CompacterError: it cannot be written; the states before stay.
        """
        from compacter_cli.training.checkpoints import save

        _check_finite(state.tensors, state.update)
        self._do_with_metrics(lambda: sync_metrics(self.directory))
        with self._writing():
            save(self.directory, state, record, scored, self.command)
        self.saved = state.update, record["progress"]["epochs"]
        self.start_clock()

    # Adapters and the result.

    def save_adapter(
        self, which: str, update: int, tensors: dict[str, torch.Tensor], manifest: Unsigned
    ) -> None:
        """Save the adapter after an update, "best" or "last".

        Raises:
            NotFiniteError: it is not finite.
            CompacterError: it cannot be written; the one before stays.
        """
        from compacter_cli.adapters.adapter_file import save_adapter

        _check_finite(tensors, update)
        with self._writing():
            save_adapter(self.directory / which, tensors, manifest)

    def check_best(self, best: EpochLine, epochs: int) -> None:
        """Make sure of the best adapter so far, which could not be made again.

        It may be of a later epoch than the state's, `epochs`, which will then be scored and saved
        again.

        Raises:
            CompacterError: it is not there, damaged, or another.
        """
        from compacter_cli.adapters.adapter_file import load_adapter

        place = self.directory / "best"
        try:
            manifest = load_adapter(place).manifest
        except CompacterError as error:
            raise CompacterError(
                f"the best adapter so far cannot be had: {error}",
                "put it back, or begin again with --overwrite",
            ) from error
        epoch = manifest.get("metrics", {}).get("epoch", 0)
        other = differences(completed(manifest["recipe"]), self._recipe.plain(), runs.FREE)
        if other or not (epoch > epochs or epoch == best["number"]):
            raise CompacterError(
                f"{place} is not the best adapter of this run, which is of epoch {best['number']}",
                "put it back, or begin again with --overwrite",
            )

    def write_result(
        self,
        result: Result,
        task: Task,
        rows: Sequence[Row],
        predicted: list[str],
        card: Callable[[], str],
    ) -> None:
        """Write predictions and card, then the result, which makes the run a finished one.

        A card that somebody has edited stays; one that cannot be made or written is done without.

        Raises:
            CompacterError: they cannot be written.
        """
        from compacter_cli.training.predictions import write_predictions

        with self._writing():
            write_predictions(self.directory, task, rows, predicted)
            self._write_card(card)
            write_json(self.directory / runs.RESULT, result)

    def _write_card(self, card: Callable[[], str]) -> None:
        from compacter_cli.training.card import write_card

        try:
            if not write_card(self.directory / "best", card()):
                self._display.line("best/README.md was edited, and is left as it is")
        except Exception as error:  # whatever it is, the run's result is to come
            self._held.check()
            self._display.line(f"{error}; the run ends without a model card")

    def remove_states(self) -> None:
        """Remove the states of a run that is finished."""
        runs.remove_states(self.directory)


class Onlooker(RunWriter):
    """What a process has instead of a `RunWriter` whose run another process writes: it does not."""

    def claim(self, environment: Environment, overwrite: bool) -> None:
        pass

    def hold(self) -> None:
        pass

    def tell_of_no_lock(self) -> None:
        pass

    def check_space(self, tensors: Mapping[str, torch.Tensor]) -> None:
        pass

    def note_resumed(self, environment: Environment, update: int, damaged: Iterable[str]) -> None:
        pass

    def log(self, entry: Mapping[str, Any]) -> None:
        pass

    def cut_metrics(self, update: int, epochs: int) -> None:
        pass

    def is_due(self, update: int) -> bool:
        return False

    def save_state(self, state: State, record: RunRecord, scored: bool) -> None:
        pass

    def save_adapter(
        self, which: str, update: int, tensors: dict[str, torch.Tensor], manifest: Unsigned
    ) -> None:
        pass

    def check_best(self, best: EpochLine, epochs: int) -> None:
        pass

    def write_result(
        self,
        result: Result,
        task: Task,
        rows: Sequence[Row],
        predicted: list[str],
        card: Callable[[], str],
    ) -> None:
        pass

    def remove_states(self) -> None:
        pass


def _check_finite(tensors: Mapping[str, torch.Tensor], update: int) -> None:
    from compacter_cli.t5.tensors import first_not_finite

    if name := first_not_finite(tensors):
        raise NotFiniteError(
            f"{name} is not finite after update {update}; what was saved last is untouched",
            "begin again with a smaller train.learning_rate",
        )

"""One training run: what is loaded, trained, saved and tested, and in which order."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

from compacter_cli.adapters.restoring import backbone_of
from compacter_cli.errors import CompacterError, NotFiniteError
from compacter_cli.files import sweep, write_json
from compacter_cli.paper.demo_scores import measured_scores
from compacter_cli.paper.tables import paper_scores
from compacter_cli.recipe.earlier import completed
from compacter_cli.section import differences
from compacter_cli.t5.runtime import on_device, seed_everything, start_keras
from compacter_cli.tasks import task_of
from compacter_cli.training import run_directory as runs
from compacter_cli.training.claim import hold
from compacter_cli.training.display import Display, Opening
from compacter_cli.training.run_state import (
    Computed,
    Fingerprints,
    RunRecord,
    changes,
    check_record,
    resume_command,
    telling_how_to_go_on,
)
from compacter_cli.training.space import check_space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import torch
    from keras_hub.models import T5Backbone

    from compacter_cli.data.sources import RowSource
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.model import T5Model
    from compacter_cli.training.checkpoints import Checkpoint
    from compacter_cli.training.lock import Lock
    from compacter_cli.training.loop import Epoch
    from compacter_cli.training.records import EpochLine, Result, ScoresRecord
    from compacter_cli.training.scoring import Scores
    from compacter_cli.training.signals import Stop
    from compacter_cli.training.trainer import Update


AT_ONCE = "at once, and what was saved last is whole"


class Session:
    """One training run in progress: its model, its data, and what it writes when.

    A context manager: inside, everything is loaded and Keras is on the run's device. `start` or
    `resume` comes first, then `train`, then `finish`.

    Args:
        recipe: resolved recipe.
        directory: run directory to write.
        device: "cpu" or "cuda"; a GPU where there is one.
        source: where the rows are.
        display: what is told while it goes on.
    """

    def __init__(
        self,
        recipe: Recipe,
        directory: Path,
        device: str | None,
        source: RowSource,
        display: Display | None = None,
    ) -> None:
        self.recipe, self.directory = recipe, directory
        self.display = display or Display()
        self.task = task_of(recipe)
        self.best: EpochLine | None = None
        self.before: ScoresRecord | None = None
        self._device_name, self._source = device, source
        self._stack = ExitStack()
        self._lock: Lock | None = None
        self._seconds, self._saved_at = 0.0, 0.0
        self._saved: tuple[int, int] | None = None  # update and epochs of the latest state
        self._without_metrics = False

    def __enter__(self) -> Self:
        start_keras()
        with self._stack:
            self.device = self._stack.enter_context(on_device(self._device_name))
            seed_everything(self.recipe.seed)
            self._load()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._lock is not None:
            self._lock.release()
        self._stack.__exit__(*error)

    def _load(self) -> None:
        from compacter_cli.data.dataset import build_dataset
        from compacter_cli.training.loop import FineTuning

        recipe = self.recipe
        rows = self._source.load()  # first: a bad line is told in seconds
        self.backbone = backbone_of(recipe)
        self.dataset = build_dataset(
            self.task, rows, self.backbone.vocabulary, recipe.data, recipe.seed
        )
        self.model = model_of(self.backbone.keras, self.backbone.exact, recipe)
        self.tuning = FineTuning(
            self.model,
            self.dataset,
            self.task,
            self.backbone.vocabulary,
            recipe.train,
            (recipe.data.seed, recipe.seed),
            self.device,
        )
        self._fingerprints: Fingerprints = {
            "backbone": self.backbone.fingerprint,
            "data": self.dataset.fingerprint(),
        }

    def start(self, overwrite: bool) -> None:
        """Claim the run directory, say what the run is, and score the untrained model.

        Raises:
            CompacterError: the directory is taken, or has no room for what is saved.
        """
        self._check_space()  # before a run that is to be replaced is gone
        environment = runs.environment(self.device)
        self._lock = runs.start_run(self.directory, self.recipe, environment, overwrite, self._lock)
        self.display.opening(self._opening())
        self._tell_of_no_lock()
        if self.recipe.train.score_before:
            self.display.scoring_before()
            scores, _ = self._answer_test()
            self.before = scores.record()
            self.display.scored_before(scores)

    def resume(self, strict: bool = False) -> None:
        """Go on from the newest whole state of the run in the directory, or begin it again.

        Args:
            strict: fail rather than go on from an older state than the newest.

        Raises:
            CompacterError: no state is whole, or it is of something else.
        """
        from compacter_cli.training.checkpoints import newest

        self._lock = hold(self.directory)
        self._tell_of_no_lock()
        found = newest(self.directory)
        if found.damaged and (strict or found.checkpoint is None):
            reasons = "; ".join(f"{name}: {why}" for name, why in found.damaged.items())
            raise CompacterError(
                f"saved states of {self.directory} are damaged: {reasons}",
                "leave --strict out to go on from the one before"
                if found.checkpoint
                else "begin again with --overwrite",
            )
        if found.checkpoint is None:
            runs.check_nothing_to_lose(self.directory)
            self.display.line("nothing was saved yet: the run begins again")
            self.start(overwrite=True)
        else:
            self._go_on_from(found.checkpoint, found.damaged)

    def _go_on_from(self, checkpoint: Checkpoint, damaged: Mapping[str, str]) -> None:
        from compacter_cli.training.checkpoints import remove, remove_older

        self._restore(checkpoint)
        update, epochs = checkpoint.state.update, self.tuning.progress.epochs
        self.display.opening(self._opening())
        for name, reason in damaged.items():
            self.display.line(f"the saved state {name} is damaged and left out: {reason}")
        self.display.line(f"going on after update {update:,} of {self.tuning.updates:,}")
        self._do_with_metrics(lambda: runs.cut_metrics(self.directory, update, epochs))
        runs.note_resumed(self.directory, runs.environment(self.device), update)
        runs.mend_recipe(self.directory, self.recipe)
        remove(self.directory, damaged)
        remove_older(self.directory)
        sweep(self.directory, runs.RUN.own.__contains__)
        self._check_space()

    def _tell_of_no_lock(self) -> None:
        if not self._held.certain:
            self.display.line("this file system knows no locks: let no second process write here")

    def _restore(self, checkpoint: Checkpoint) -> None:
        from compacter_cli.training.loop import Progress

        record = check_record(self.directory, checkpoint.record, self.recipe, self._fingerprints)
        progress = Progress.of_record(record["progress"])
        self.tuning.trainer.restore(checkpoint.state)
        self.tuning.progress = progress
        self.best, self.before = record["best"], record["before"]
        self._seconds = record["seconds"]
        self._saved = checkpoint.state.update, self.tuning.progress.epochs
        self._check_best()
        for sentence in changes(record["computed"], self._computed()):
            self.display.line(sentence)

    def _check_best(self) -> None:
        """Make sure of the best adapter so far, which could not be made again.

        It may be of a later epoch than the state's, which will then be scored and saved again.
        """
        from compacter_cli.adapters.adapter_file import load_adapter

        if self.best is None:
            return
        place = self.directory / "best"
        try:
            manifest = load_adapter(place).manifest
        except CompacterError as error:
            raise CompacterError(
                f"the best adapter so far cannot be had: {error}",
                "put it back, or begin again with --overwrite",
            ) from error
        epoch = manifest.get("metrics", {}).get("epoch", 0)
        later = epoch > self.tuning.progress.epochs
        other = differences(completed(manifest["recipe"]), self.recipe.plain(), runs.FREE)
        if other or not (later or epoch == self.best["number"]):
            raise CompacterError(
                f"{place} is not the best adapter of this run, which is of epoch "
                f"{self.best['number']}",
                "put it back, or begin again with --overwrite",
            )

    def _check_space(self) -> None:
        from compacter_cli.training.checkpoints import KEPT, MANIFEST_BYTES

        weights = sum(tensor.nbytes for tensor in self.model.trained_tensors().values())
        once = 3 * weights + MANIFEST_BYTES  # AdamW keeps two moments
        adapters = 3 * (weights + MANIFEST_BYTES)  # the best, the last, and one in the making
        check_space(self.directory, once, (KEPT + 1) * once + adapters, self.display)

    def _opening(self) -> Opening:
        splits = (self.dataset.train, self.dataset.validation, self.dataset.test)
        return Opening(
            recipe=self.recipe,
            shape=self.model.shape,
            sizes={split.name: len(split) for split in splits},
            truncated=sum(split.truncated for split in splits),
            updates=self.tuning.updates,
            device=self.device,
            directory=self.directory,
            unwritable=self.dataset.unwritable,
        )

    def train(self) -> None:
        """Train to the end, saving `last/` every epoch, `best/` where it improved, and states.

        Raises:
            Interrupted: a signal came; the state is saved.
        """
        from compacter_cli.training.signals import deferred_signals

        self.display.start(self.tuning.updates, self.tuning.trainer.update)
        self._began = self._saved_at = time.perf_counter()
        with deferred_signals() as stop:
            with telling_how_to_go_on(self._command, AT_ONCE):
                self._follow(stop)
                self._seconds += time.perf_counter() - self._began
                if stop():
                    self._began = time.perf_counter()
                    self._save_state()
                    self._save("last")
            if stop():
                self._leave(stop)

    def _follow(self, stop: Stop) -> None:
        from compacter_cli.training.trainer import Update

        try:
            for event in self.tuning.events(stop):
                self._on_update(event) if isinstance(event, Update) else self._on_epoch(event)
        finally:
            self.display.stop()

    def _leave(self, stop: Stop) -> None:
        done, updates = self.tuning.trainer.update, self.tuning.updates
        raise stop.interrupted(
            f"interrupted after update {done:,} of {updates:,}, saved whole; go on with: "
            f"{self._command}"
        )

    def _on_update(self, update: Update) -> None:
        self._log(update.record())
        if update.skipped:
            self.display.line(
                f"update {update.step} is left out: its loss or gradient is not finite"
            )
        self.display.update(update)
        if self._due(update):
            self._save_state()

    def _due(self, update: Update) -> bool:
        section = self.recipe.train
        minutes = (time.perf_counter() - self._saved_at) / 60
        counted = section.save_every is not None and update.step % section.save_every == 0
        return counted or minutes >= section.save_minutes

    def _on_epoch(self, epoch: Epoch) -> None:
        self._log(epoch.record())
        self._save("last", epoch)
        if epoch.best:
            self._save("best", epoch)
            self.best = epoch.record()
        self._save_state()
        self.display.epoch(epoch)

    def _log(self, entry: Mapping[str, Any]) -> None:
        self._do_with_metrics(lambda: runs.append_metrics(self.directory, **entry))

    def _do_with_metrics(self, write: Callable[[], None]) -> None:
        """Write to metrics.jsonl; what it means that it cannot be, the recipe says."""
        self._held.check()
        if self._without_metrics:
            return
        try:
            write()
        except CompacterError as error:
            self._held.check()
            if self.recipe.output.without_metrics == "stop":
                raise
            self._without_metrics = True
            self.display.line(f"{error}; the run goes on without metrics.jsonl")

    @property
    def _command(self) -> str:
        return resume_command(self.directory, self._device_name)

    @property
    def _held(self) -> Lock:
        assert self._lock is not None  # since `start` or `resume`
        return self._lock

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Write to the directory inside; where it is gone or replaced, that alone is said."""
        self._held.check()
        try:
            yield
        except CompacterError:
            self._held.check()
            raise

    def _save_state(self) -> None:
        """Save all that `resume` needs, unless it is saved already."""
        from compacter_cli.training.checkpoints import save

        trainer, epochs = self.tuning.trainer, self.tuning.progress.epochs
        if self._saved == (trainer.update, epochs):
            return
        state = trainer.state()
        self._check_finite(state.tensors)
        scored = trainer.update == epochs * self.tuning.per_epoch
        then = self._command
        self._do_with_metrics(lambda: runs.sync_metrics(self.directory))
        with self._writing():
            save(self.directory, state, self._record(), scored, then)
        self._saved, self._saved_at = (trainer.update, epochs), time.perf_counter()

    def _check_finite(self, tensors: Mapping[str, torch.Tensor]) -> None:
        from compacter_cli.t5.tensors import first_not_finite

        if name := first_not_finite(tensors):
            raise NotFiniteError(
                f"{name} is not finite after update {self.tuning.trainer.update}; what was saved "
                "last is untouched",
                "begin again with a smaller train.learning_rate",
            )

    def _record(self) -> RunRecord:
        return {
            "recipe": self.recipe.plain(),
            "fingerprints": self._fingerprints,
            "computed": self._computed(),
            "progress": self.tuning.progress.record(),
            "best": self.best,
            "before": self.before,
            "seconds": self._seconds + time.perf_counter() - self._began,
        }

    def _computed(self) -> Computed:
        import torch

        import compacter_cli
        from compacter_cli.t5.dropout import stream_of

        return {
            "compacter": compacter_cli.__version__,
            "torch": torch.__version__,
            "device": self.device,
            "threads": torch.get_num_threads(),
            "dropout": stream_of(self.device),
        }

    def _save(self, which: str, epoch: Epoch | None = None) -> None:
        from compacter_cli.adapters.adapter_file import manifest_of, save_adapter

        tensors = self.model.trained_tensors()
        self._check_finite(tensors)
        manifest = manifest_of(
            tensors,
            method=self.recipe.method.settings(),
            task=self.recipe.task,
            backbone=self.backbone,
            shape=self.model.shape,
            recipe=self.recipe.plain(),
            metrics={"epoch": epoch.number, **epoch.validation.metrics} if epoch else None,
        )
        with self._writing():
            save_adapter(self.directory / which, tensors, manifest)

    def finish(self) -> Result:
        """Load the best adapter back from its file, test it, and write predictions and result.

        Raises:
            Interrupted: a signal came; nothing is lost.
        """
        from compacter_cli.adapters.adapter_file import load_adapter
        from compacter_cli.training.predictions import write_predictions

        if self.best is None:
            raise CompacterError("the run ended before its first epoch: there is nothing to test")
        self.model.assign(load_adapter(self.directory / "best").tensors)
        with telling_how_to_go_on(self._command, "after the last update, saved whole"):
            scores, predicted = self._answer_test()
            result = self._result(self.best, scores)
            with self._writing():
                write_predictions(self.directory, self.task, self.dataset.test.rows, predicted)
                write_json(self.directory / runs.RESULT, result)
        runs.remove_states(self.directory)
        self.display.finished(result)
        return result

    def _result(self, best: EpochLine, test: Scores) -> Result:
        from compacter_cli.adapters.adapter_file import WEIGHTS
        from compacter_cli.training.memory import peak_memory

        recipe, shape = self.recipe, self.model.shape
        trained, n = sum(recipe.method.count(shape).values()), getattr(recipe.method, "n", None)
        return {
            "task": recipe.task,
            "method": recipe.method.name,
            "preset": recipe.backbone.preset,
            "seed": recipe.seed,
            "trained_parameters": trained,
            "trained_percent": 100 * trained / shape.parameters(),
            "backbone_parameters": shape.parameters(),
            "epochs": recipe.train.epochs,
            "learning_rate": recipe.train.peak_rate,
            "train_examples": len(self.dataset.train),
            "updates": self.tuning.updates,
            "best_epoch": best["number"],
            "validation": best["validation"],
            "test": test.record(),
            "paper": paper_scores(self.task, recipe.method.name, n),
            "measured": measured_scores(recipe),
            "before": self.before,
            "run": str(self.directory),
            "adapter_bytes": (self.directory / "best" / WEIGHTS).stat().st_size,
            "training_seconds": self._seconds,
            "peak_memory_bytes": peak_memory(self.device),
            "data": self.dataset.origin,
        }

    def _answer_test(self) -> tuple[Scores, list[str]]:
        from compacter_cli.training.scoring import evaluate

        size = self.recipe.train.eval_batch_size
        vocabulary = self.backbone.vocabulary
        return evaluate(self.model, vocabulary, self.task, self.dataset, "test", size, self.device)


def model_of(keras_backbone: T5Backbone, exact: dict[str, torch.Tensor], recipe: Recipe) -> T5Model:
    """The `T5Model` that a recipe trains, on a KerasHub backbone and its `exact` layer norms."""
    from compacter_cli.t5.model import T5Model

    return T5Model(
        keras_backbone,
        recipe.method,
        seed=recipe.seed,
        compute_dtype=recipe.backbone.precision,
        exact=exact,
        dropout=recipe.train.dropout,
        in_place=recipe.method.trains_in_place,
        execution=recipe.train.execution,
        remat=recipe.train.remat,
    )

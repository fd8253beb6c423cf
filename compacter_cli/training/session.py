"""One training run: what is loaded, trained, saved and tested, and in which order.

What is written, and when it is due, `run_writer.py` knows.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self

from compacter_cli.adapters.manifest import hash_of
from compacter_cli.adapters.restoring import backbone_of
from compacter_cli.errors import CompacterError
from compacter_cli.paper.demo_scores import measured_scores
from compacter_cli.paper.tables import paper_scores
from compacter_cli.t5.runtime import on_device, seed_everything, start_keras
from compacter_cli.tasks import task_of
from compacter_cli.tasks.own import FORMATS
from compacter_cli.training import run_directory as runs
from compacter_cli.training.claim import resume_command
from compacter_cli.training.display import Display, Opening
from compacter_cli.training.environment import environment
from compacter_cli.training.initial import start_from
from compacter_cli.training.processes import ALONE, Processes
from compacter_cli.training.records import RESULT_FORMAT, RESULT_VERSION
from compacter_cli.training.run_state import (
    Computed,
    Fingerprints,
    RunRecord,
    changes,
    check_record,
    telling_how_to_go_on,
)
from compacter_cli.training.run_writer import Onlooker, RunWriter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import torch
    from keras_hub.models import T5Backbone

    from compacter_cli.adapters.manifest import StartedFrom
    from compacter_cli.data.sources import RowSource
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.model import T5Model
    from compacter_cli.training.checkpoints import Checkpoint, Found
    from compacter_cli.training.loop import Epoch
    from compacter_cli.training.records import Environment, EpochLine, Result, ScoresRecord
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
        processes: those that train together, each in a session of its own; the main one writes.
        command: the one that goes on, where it is not `train`'s for this run alone.
    """

    def __init__(
        self,
        recipe: Recipe,
        directory: Path,
        device: str | None,
        source: RowSource,
        display: Display | None = None,
        processes: Processes = ALONE,
        command: str | None = None,
    ) -> None:
        self.recipe, self.directory = recipe, directory
        self.display = display or Display()
        self.task = task_of(recipe)
        self.best: EpochLine | None = None
        self.before: ScoresRecord | None = None
        self.started: StartedFrom | None = None
        self._device_name, self._source = device, source
        self._processes = processes
        writer = RunWriter if processes.main else Onlooker
        command = command or resume_command(f"{processes.program} train", directory, device)
        self._writer = writer(recipe, directory, self.display, command)
        self._stack = ExitStack()
        self._seconds = 0.0

    def __enter__(self) -> Self:
        start_keras()
        with self._stack:
            self.device = self._stack.enter_context(on_device(self._device_name))
            seed_everything(self.recipe.seed)
            self._load()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._writer.release()
        self._stack.__exit__(*error)

    def _load(self) -> None:
        from compacter_cli.training.loop import FineTuning

        recipe = self.recipe
        with self._processes.one_first():  # it may have to fetch them, and keeps their tokens
            self._load_data()
        self.model = model_of(self.backbone.keras, self.backbone.exact, recipe)
        self.tuning = FineTuning(
            self.model,
            self.dataset,
            self.task,
            self.backbone.vocabulary,
            recipe.train,
            (recipe.data.seed, recipe.seed),
            self.device,
            self._processes,
        )
        self._fingerprints: Fingerprints = {
            "backbone": self.backbone.fingerprint,
            "data": self.dataset.fingerprint(),
        }
        self._check_alike()

    def _load_data(self) -> None:
        from compacter_cli.data.dataset import build_dataset

        recipe = self.recipe
        rows = self._source.load()  # first: a bad line is told in seconds
        self.backbone = backbone_of(recipe)
        self.dataset = build_dataset(
            self.task, rows, self.backbone.vocabulary, recipe.data, recipe.seed
        )

    def _check_alike(self) -> None:
        """Make sure that all processes have the same recipe, rows and backbone.

        None goes on, to a run that may be replaced, before it has all the others' and so knows.
        """
        own = {"recipe": hash_of(self.recipe.plain()), **self._fingerprints}
        main, *others = self._processes.in_order([own])
        for rank, found in enumerate(others, 1):
            if other := [what for what in main if found[what] != main[what]]:
                raise CompacterError(
                    f"process {rank} has another {' and another '.join(other)} than the main one",
                    "give all processes the same recipe, rows and backbone",
                )

    def start(self, overwrite: bool) -> None:
        """Claim the run directory, say what the run is, and score the untrained model.

        Raises:
            CompacterError: the directory is taken, or has no room for what is saved.
        """
        self._check_space()  # before a run that is to be replaced is gone
        self.started = start_from(self.model, self.backbone, self.recipe)
        self._writer.claim(self._environment(), overwrite)
        with telling_how_to_go_on(self._writer.command, "before the first update"):
            self.display.opening(self._opening())
            self._writer.tell_of_no_lock()
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
        self._writer.hold()
        self._writer.tell_of_no_lock()
        found = self._newest()
        if found.damaged and (strict or found.checkpoint is None):
            reasons = "; ".join(f"{name}: {why}" for name, why in found.damaged.items())
            raise CompacterError(
                f"saved states of {self.directory} are damaged: {reasons}",
                "leave --strict out to go on from the one before"
                if found.checkpoint
                else "begin again with --overwrite",
            )
        if found.checkpoint is None:
            if self._processes.main:
                runs.check_nothing_to_lose(self.directory)
            self.display.line("nothing was saved yet: the run begins again")
            self.start(overwrite=True)
        else:
            self._go_on_from(found.checkpoint, found.damaged)

    def _newest(self) -> Found:
        """The newest whole state, as the main process reads it."""
        from compacter_cli.training.checkpoints import Checkpoint, Found, newest
        from compacter_cli.training.trainer import State

        processes = self._processes
        found = newest(self.directory) if processes.main else Found(None, {})
        (update, tensors), record = found.checkpoint or Checkpoint(State(0, {}), {})
        update, record, damaged = processes.of_main(lambda: (update, record, found.damaged))
        state = State(update, processes.tensors_of_main(lambda: tensors))
        return Found(Checkpoint(state, record) if record else None, damaged)

    def _go_on_from(self, checkpoint: Checkpoint, damaged: Mapping[str, str]) -> None:
        self._restore(checkpoint)
        update, epochs = checkpoint.state.update, self.tuning.progress.epochs
        self.display.opening(self._opening())
        for name, reason in damaged.items():
            self.display.line(f"the saved state {name} is damaged and left out: {reason}")
        self.display.line(f"going on after update {update:,} of {self.tuning.updates:,}")
        self._writer.cut_metrics(update, epochs)
        self._writer.note_resumed(self._environment(), update, damaged)
        self._check_space()

    def _restore(self, checkpoint: Checkpoint) -> None:
        from compacter_cli.training.loop import Progress

        record = check_record(self.directory, checkpoint.record, self.recipe, self._fingerprints)
        progress = Progress.of_record(record["progress"])
        self.tuning.trainer.restore(checkpoint.state)
        self.tuning.progress = progress
        self.best, self.before = record["best"], record["before"]
        self.started = record.get("started_from")
        self._seconds = record["seconds"]
        self._writer.saved = checkpoint.state.update, progress.epochs
        if self.best is not None:
            self._writer.check_best(self.best, progress.epochs)
        for sentence in changes(record["computed"], self._computed()):
            self.display.line(sentence)

    def _check_space(self) -> None:
        self._writer.check_space(self.model.trained_tensors())

    def _environment(self) -> Environment:
        found, count = environment(self.device), self._processes.count
        return {**found, "processes": count} if count > 1 else found

    def _opening(self) -> Opening:
        from compacter_cli.data.survey import survey

        data, splits = self.dataset, self.dataset.splits
        own = self.recipe.task in FORMATS
        return Opening(
            recipe=self.recipe,
            shape=self.model.shape,
            sizes={name: len(split) for name, split in splits.items()},
            truncated=sum(split.truncated for split in splits.values()),
            updates=self.tuning.updates,
            device=self.device,
            directory=self.directory,
            unwritable=data.unwritable,
            processes=self._processes.count,
            survey=survey(self.task, splits, self.backbone.vocabulary, data.blank) if own else None,
        )

    def train(self) -> None:
        """Train to the end, saving `last/` every epoch, `best/` where it improved, and states.

        Raises:
            Interrupted: a signal came; the state is saved.
        """
        from compacter_cli.training.signals import deferred_signals

        self.display.start(self.tuning.updates, self.tuning.trainer.update)
        self._began = time.perf_counter()
        self._writer.start_clock()
        with deferred_signals() as own:
            stop = self._processes.agreed(own)
            with telling_how_to_go_on(self._writer.command, AT_ONCE):
                self._follow(stop)
                self._seconds += time.perf_counter() - self._began
                if stop():
                    self._began = time.perf_counter()
                    self._save_state()
                    self._save("last")
                    self._processes.wait()  # once one has left, its launcher ends the others
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
            f"interrupted after update {done:,} of {updates:,}, saved whole", self._writer.command
        )

    def _on_update(self, update: Update) -> None:
        self._writer.log(update.record())
        if update.skipped:
            self.display.line(
                f"update {update.step} is left out: its loss or gradient is not finite"
            )
        self.display.update(update)
        if self._writer.is_due(update.step):
            self._save_state()

    def _on_epoch(self, epoch: Epoch) -> None:
        self._writer.log(epoch.record())
        self._save("last", epoch)
        if epoch.best:
            self._save("best", epoch)
            self.best = epoch.record()
        self._save_state()
        self.display.epoch(epoch)
        if self.tuning.ended == "patience":
            self.display.line(
                f"no better epoch in {self.tuning.progress.stale}: training ends after epoch "
                f"{epoch.number} of {self.recipe.train.epochs} (train.patience)"
            )

    def _save_state(self) -> None:
        """Save all that `resume` needs, unless it is saved already."""
        trainer, epochs = self.tuning.trainer, self.tuning.progress.epochs
        if self._writer.saved != (trainer.update, epochs):
            scored = trainer.update == epochs * self.tuning.per_epoch
            self._writer.save_state(trainer.state(), self._record(), scored)

    def _record(self) -> RunRecord:
        return {
            "recipe": self.recipe.plain(),
            "fingerprints": self._fingerprints,
            "computed": self._computed(),
            "progress": self.tuning.progress.record(),
            "best": self.best,
            "before": self.before,
            "seconds": self._seconds + time.perf_counter() - self._began,
            "started_from": self.started,
        }

    def _computed(self) -> Computed:
        import torch

        import compacter_cli

        return {
            "compacter": compacter_cli.__version__,
            "torch": torch.__version__,
            "device": self.device,
            "threads": torch.get_num_threads(),
            "dropout": self.model.dropout_stream,
            "processes": self._processes.count,
        }

    def _save(self, which: str, epoch: Epoch | None = None) -> None:
        from compacter_cli.adapters.adapter_file import manifest_of

        tensors = self.model.trained_tensors()
        manifest = manifest_of(
            tensors,
            method=self.recipe.method.settings(),
            task=self.recipe.task,
            backbone=self.backbone,
            shape=self.model.shape,
            recipe=self.recipe.plain(),
            metrics={"epoch": epoch.number, **epoch.validation.metrics} if epoch else None,
        )
        if self.started is not None:
            manifest["started_from"] = self.started
        self._writer.save_adapter(which, self.tuning.trainer.update, tensors, manifest)

    def finish(self) -> Result:
        """Load the best adapter back from its file, test it, and write predictions and result.

        Raises:
            Interrupted: a signal came; nothing is lost.
        """
        from compacter_cli.adapters.adapter_file import load_adapter
        from compacter_cli.adapters.manifest import read_manifest
        from compacter_cli.training.card import card_of

        if self.best is None:
            raise CompacterError("the run ended before its first epoch: there is nothing to test")
        best = self.directory / "best"
        self.model.assign(self._processes.tensors_of_main(lambda: load_adapter(best).tensors))
        with telling_how_to_go_on(self._writer.command, "after the last update, saved whole"):
            scores, predicted = self._answer_test()
            epoch = self.best
            result = self._processes.of_main(lambda: self._result(epoch, scores))

            def card() -> str:
                return card_of(self.recipe, result, read_manifest(best)["backbone"])

            self._writer.write_result(result, self.task, self.dataset.test.rows, predicted, card)
        self._writer.remove_states()
        self.display.finished(result)
        return result

    def _result(self, best: EpochLine, test: Scores) -> Result:
        from compacter_cli.adapters.adapter_file import WEIGHTS
        from compacter_cli.training.memory import peak_memory

        recipe, shape = self.recipe, self.model.shape
        trained, n = sum(recipe.method.count(shape).values()), getattr(recipe.method, "n", None)
        result: Result = {
            "format": RESULT_FORMAT,
            "version": RESULT_VERSION,
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
            "updates": self.tuning.trainer.update,
            "epochs_trained": self.tuning.progress.epochs,
            "ended": self.tuning.ended or "epochs",
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
        if self.started is not None:
            result["started_from"] = self.started
        return result

    def _answer_test(self) -> tuple[Scores, list[str]]:
        from compacter_cli.training.scoring import evaluate

        what = self.model, self.backbone.vocabulary, self.task, self.dataset, "test"
        size = self.recipe.train.eval_batch_size
        return evaluate(*what, size, self.device, processes=self._processes)


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

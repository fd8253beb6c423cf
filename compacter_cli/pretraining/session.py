"""One pretraining: what is read, made, trained, saved and written, and in which order."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.files import fresh_place, write_json
from compacter_cli.pretraining import preset
from compacter_cli.pretraining.batches import Batches, Exercises, Spans
from compacter_cli.pretraining.corpus import read_corpus
from compacter_cli.pretraining.directory import PRESET, PRETRAINING, SUMMARY, check_vacant
from compacter_cli.pretraining.pieces import cut_into_pieces, sentinel_ids, train_vocabulary
from compacter_cli.pretraining.records import SUMMARY_FORMAT, SUMMARY_VERSION
from compacter_cli.t5.initial import start_at_random
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.preset_files import WEIGHTS
from compacter_cli.t5.saving import write_preset
from compacter_cli.t5.vocabulary import END, Vocabulary
from compacter_cli.training.claim import claim, hold
from compacter_cli.training.environment import environment
from compacter_cli.training.metrics_file import append_metrics, cut_metrics, sync_metrics
from compacter_cli.training.signals import deferred_signals
from compacter_cli.training.space import check_space

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from compacter_cli.pretraining.loop import Validation
    from compacter_cli.pretraining.recipe import PretrainingRecipe
    from compacter_cli.pretraining.records import Pretrained, Summary
    from compacter_cli.training.display import Display
    from compacter_cli.training.lock import Lock
    from compacter_cli.training.trainer import Update


class PretrainingSession:
    """One pretraining in progress, on the device that Keras is on.

    `begin` or `resume` comes first, then `train`, then `finish`.

    Args:
        recipe: resolved recipe.
        directory: preset directory to write.
        device: torch device name.
        display: what is told while it goes on.
        go_on: the command that goes on with it.
    """

    def __init__(
        self,
        recipe: PretrainingRecipe,
        directory: Path,
        device: str,
        display: Display,
        go_on: str,
    ) -> None:
        self.recipe, self.directory, self.device = recipe, directory, device
        self._display, self._go_on = display, go_on
        self._lock: Lock | None = None
        self._display.line("reading the text ...")
        self.corpus = read_corpus(recipe.text)

    def begin(self, overwrite: bool) -> None:
        """Make the vocabulary and the random start, claim the directory, and save the start."""
        from compacter_cli.pretraining.state import Progress

        self._display.line("making the vocabulary ...")
        self._build(train_vocabulary(self.corpus.trained_texts(), self.recipe.vocabulary))
        start_at_random(self.model.named_weights, self.model.shape, self.recipe.seed)
        check_vacant(self.directory, overwrite)
        self._lock = claim(self.directory, PRETRAINING, self.recipe, overwrite)
        self._display.writes_to(self.directory)
        self.progress = Progress(0, None, None, 0.0, self.corpus.sha256)
        self._check_space()
        self._save()

    def _check_space(self) -> None:
        weights = sum(tensor.nbytes for tensor in self.model.trained_tensors().values())
        once = 3 * weights  # Adafactor's moments are smaller than AdamW's two
        check_space(self.directory, once, 2 * once + weights, self._display)

    def resume(self) -> None:
        """Go on from the state that was saved last.

        Raises:
            UsageError: the text is not the one that the run began with.
            CompacterError: the state is damaged.
        """
        from compacter_cli.pretraining.state import load_state
        from compacter_cli.training.trainer import State

        self._lock = hold(self.directory)
        self._display.writes_to(self.directory)
        state = load_state(self.directory)
        self.progress = state.progress
        if self.progress.text_sha256 != self.corpus.sha256:
            raise UsageError(
                f"the text is not the one that {self.directory} was begun with",
                "give the same files again, or begin again with --overwrite",
            )
        self._build(Vocabulary(state.vocabulary))
        self._training.trainer.restore(State(self.progress.step, state.tensors))
        cut_metrics(self.directory, self.progress.step or -1)  # at the start all is written again

    def _build(self, vocabulary: Vocabulary) -> None:
        from compacter_cli.methods.full import Full
        from compacter_cli.pretraining.loop import Pretraining
        from compacter_cli.t5.model import T5Model
        from compacter_cli.t5.random_backbone import random_backbone

        recipe, self.vocabulary = self.recipe, vocabulary
        backbone = random_backbone(recipe.backbone.shape(len(vocabulary)), recipe.backbone.dropout)
        self.model = T5Model(backbone, Full(), in_place=True)
        spans = self._spans(self.corpus.train, recipe.seed)
        self.batches = Batches(spans, self._exercises(), recipe.train, self.device)
        held_out = self._spans(self.corpus.validation, recipe.text.seed)
        self._held_out = list(held_out.batches(recipe.train.batch_size, self.device))
        self._training = Pretraining(
            self.model, self.batches, self._held_out, recipe.train, recipe.seed
        )

    def _exercises(self) -> Exercises | None:
        if not self.corpus.exercises:
            return None
        sources, targets = map(self._ended, zip(*self.corpus.exercises, strict=True))
        return Exercises(list(zip(sources, targets, strict=True)), self.recipe.seed)

    def _ended(self, texts: Sequence[str]) -> list[list[int]]:
        return [[*ids, END] for ids in self.vocabulary.encode(texts)]

    def _spans(self, passages: list[str], seed: int) -> Spans:
        pieces = cut_into_pieces(self.vocabulary, passages, self.recipe.train.length)
        if not len(pieces):
            raise CompacterError(
                "the text has no tokens to train on", "is it text, a passage a line?"
            )
        sentinels = sentinel_ids(self.vocabulary, self.recipe.vocabulary.sentinels)
        return Spans(pieces, sentinels, self.recipe.corruption, seed)

    def train(self) -> None:
        """Train to the last step, saving the state now and then and at the end.

        Raises:
            KeyboardInterrupt: Ctrl-C; the state is saved.
        """
        steps = self.recipe.train.steps
        self._display.start(steps, self.progress.step)
        began, before = time.perf_counter(), self.progress.seconds
        with deferred_signals() as stop:
            try:
                for update, validation in self._training.events(stop):
                    seconds, step = before + time.perf_counter() - began, self._step
                    self.progress = replace(self.progress, step=step, seconds=seconds)
                    self._on_step(update, validation)
            finally:
                self._display.stop()
            self._save()
            if stop():
                raise stop.interrupted(
                    f"interrupted after step {self._step} of {steps}", self._go_on
                )

    @property
    def _step(self) -> int:
        return self._training.trainer.update

    def _on_step(self, update: Update | None, validation: Validation | None) -> None:
        if update:
            append_metrics(self.directory, **update.record())
            self._display.update(update)
        if validation:
            self._on_validation(validation)
        if update and update.step % self.recipe.train.save_every == 0:
            self._save()

    def _on_validation(self, validation: Validation) -> None:
        append_metrics(self.directory, **validation.record())
        start = validation.loss if validation.step == 0 else self.progress.start_loss
        self.progress = replace(self.progress, start_loss=start, loss=validation.loss)
        self._display.line(f"step {validation.step}: validation loss {validation.loss:.4f}")

    def _save(self) -> None:
        from compacter_cli.pretraining.state import save_state

        assert self._lock is not None  # since `begin` or `resume`
        self._lock.check()
        sync_metrics(self.directory)
        tensors = self._training.trainer.state().tensors
        save_state(self.directory, self.progress, tensors, self.vocabulary.proto)

    def finish(self) -> Pretrained:
        """Write the preset, measured as it is loaded from its file, and delete the state.

        Raises:
            CompacterError: it cannot be written; the state stays.
        """
        from compacter_cli.pretraining.state import remove_state

        fresh = fresh_place(self.directory / PRESET)
        precision = self.recipe.output.precision
        try:
            write_preset(fresh, self.model.backbone, self.vocabulary, precision)
            summary = self._summary(fresh)
            write_json(self.directory / SUMMARY, summary)
            preset.move_into(self.directory, fresh)
        except OSError as error:
            raise CompacterError(
                f"cannot write the preset to {self.directory}: {error.strerror or error}",
                f"free some space, then: {self._go_on}",
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        remove_state(self.directory)
        return {"preset": str(self.directory), **summary}

    def close(self) -> None:
        """Give the directory's lock back, where it is held."""
        if self._lock is not None:
            self._lock.release()

    def _summary(self, written: Path) -> Summary:
        """What the pretraining came to, of the preset in `written`."""
        recipe, progress, corpus = self.recipe, self.progress, self.corpus
        assert progress.start_loss is not None  # step 0 is validated in any case
        assert progress.loss is not None
        stored, fingerprint = self._measured(written)
        machine = environment(self.device)
        return {
            "format": SUMMARY_FORMAT,
            "version": SUMMARY_VERSION,
            "seed": recipe.seed,
            "steps": progress.step,
            "text": {
                "passages": len(corpus.train),
                "held_out": len(corpus.validation),
                "repeated": corpus.repeated,
                "tokens": len(self.batches.spans.pieces.ids),
                "times_seen": self.batches.epochs(recipe.train.steps),
                "sha256": corpus.sha256,
            },
            "vocabulary": len(self.vocabulary),
            "parameters": self.model.shape.parameters(),
            "validation_loss": {
                "start": progress.start_loss,
                "end": progress.loss,
                "stored": stored,
            },
            "precision": recipe.output.precision,
            "weights_bytes": (written / WEIGHTS).stat().st_size,
            "fingerprint": fingerprint,
            "training_seconds": progress.seconds,
            "versions": {
                "compacter": machine["compacter"],
                "python": machine["python"],
                "packages": machine["packages"],
            },
            "device": machine["device"],
            "threads": machine["threads"],
        }

    def _measured(self, directory: Path) -> tuple[float, str]:
        """The validation loss and the fingerprint of a preset as it is loaded."""
        from compacter_cli.pretraining.loop import mean_loss
        from compacter_cli.t5.model import T5Model

        loaded = load_backbone(str(directory))
        return mean_loss(T5Model(loaded.keras), self._held_out), loaded.fingerprint

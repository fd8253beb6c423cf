"""One pretraining: what is read, made, trained, saved and written, and in which order."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.files import write_json
from compacter_cli.pretraining import directory as directories
from compacter_cli.pretraining import preset, report
from compacter_cli.pretraining.batches import Batches, Exercises, Spans
from compacter_cli.pretraining.corpus import read_corpus
from compacter_cli.pretraining.initial import start_at_random
from compacter_cli.pretraining.pieces import cut_into_pieces, sentinel_ids, train_vocabulary
from compacter_cli.t5.loading import load_backbone
from compacter_cli.t5.vocabulary import END, Vocabulary
from compacter_cli.training import run_directory as runs
from compacter_cli.training.signals import deferred_interrupt


class PretrainingSession:
    """One pretraining in progress, on the device that Keras is on."""

    def __init__(self, recipe, directory, device, display):
        self.recipe, self.directory = recipe, Path(directory)
        self.device, self.display = device, display
        self.display.line("reading the text ...")
        self.corpus = read_corpus(recipe.text)

    def begin(self, overwrite):
        """Make the vocabulary and the random start, claim the directory, and save the start."""
        from compacter_cli.pretraining.state import Progress

        self.display.line("making the vocabulary ...")
        vocabulary = train_vocabulary(self.corpus.words(), self.recipe.vocabulary)
        self._build(vocabulary)
        start_at_random(self.model.named_weights, self.model.shape, self.recipe.seed)
        directories.check_vacant(self.directory, overwrite)
        runs.claim(self.directory, self.recipe, overwrite)
        self.progress = Progress(0, None, None, 0.0, self.corpus.sha256)
        self._save()

    def resume(self):
        """Go on from the state that was saved last.

        Raises:
            UsageError: the text is not the one that the run began with.
            CompacterError: the state is damaged.
        """
        from compacter_cli.pretraining.state import load_state

        self.progress, tensors, proto = load_state(self.directory)
        if self.progress.text_sha256 != self.corpus.sha256:
            raise UsageError(
                f"the text is not the one that {self.directory} was begun with",
                "give the same files again, or begin again with --overwrite",
            )
        self._build(Vocabulary(proto))
        self.trainer.restore(self.progress.step, tensors)
        directories.cut_metrics(self.directory, self.progress.step)

    def _build(self, vocabulary):
        from compacter_cli.methods import METHODS
        from compacter_cli.pretraining.loop import Pretrainer
        from compacter_cli.t5.model import T5Model
        from compacter_cli.t5.random_backbone import random_backbone

        recipe, self.vocabulary = self.recipe, vocabulary
        backbone = random_backbone(recipe.backbone.shape(len(vocabulary)), recipe.backbone.dropout)
        self.model = T5Model(backbone, METHODS["full"](), in_place=True)
        spans = self._spans(self.corpus.train, recipe.seed)
        self.batches = Batches(spans, self._exercises(), recipe.train, self.device)
        held_out = self._spans(self.corpus.validation, recipe.text.seed)
        self.held_out = list(held_out.batches(recipe.train.batch_size, self.device))
        self.trainer = Pretrainer(
            self.model, self.batches, self.held_out, recipe.train, recipe.seed
        )

    def _exercises(self):
        if not self.corpus.exercises:
            return None
        sources, targets = zip(*self.corpus.exercises, strict=True)
        pairs = [
            ([*source, END], [*target, END])
            for source, target in zip(
                self.vocabulary.encode(sources), self.vocabulary.encode(targets), strict=True
            )
        ]
        return Exercises(pairs, self.recipe.seed)

    def _spans(self, passages, seed):
        pieces = cut_into_pieces(self.vocabulary, passages, self.recipe.train.length)
        if not len(pieces):
            raise CompacterError(
                "the text has no tokens to train on", "is it text, a passage a line?"
            )
        sentinels = sentinel_ids(self.vocabulary, self.recipe.vocabulary.sentinels)
        return Spans(pieces, sentinels, self.recipe.corruption, seed)

    def train(self):
        """Train to the last step, saving the state now and then and at the end.

        Raises:
            KeyboardInterrupt: Ctrl-C; the state is saved.
        """
        section = self.recipe.train
        self.display.opening(report.opening_lines(self))
        self.display.start(section.steps, self.progress.step)
        began, before = time.perf_counter(), self.progress.seconds
        with deferred_interrupt() as interrupted:
            try:
                for update, validation in self.trainer.train(interrupted):
                    seconds = before + time.perf_counter() - began
                    self.progress = replace(self.progress, step=self.trainer.step, seconds=seconds)
                    self._on_step(update, validation)
            finally:
                self.display.stop()
            self._save()
            if self.trainer.step < section.steps:
                raise KeyboardInterrupt(
                    f"interrupted after step {self.trainer.step} of {section.steps}; continue "
                    f"with: {report.resume_command(self.directory)}"
                )

    def _on_step(self, update, validation):
        if update:
            runs.append_metrics(self.directory, kind="update", **vars(update))
            self.display.update(update)
        if validation:
            self._on_validation(validation)
        if update and update.step % self.recipe.train.save_every == 0:
            self._save()

    def _on_validation(self, validation):
        runs.append_metrics(self.directory, kind="validation", **vars(validation))
        losses = {"loss": validation.loss}
        if validation.step == 0:
            losses["start_loss"] = validation.loss
        self.progress = replace(self.progress, **losses)
        self.display.line(f"step {validation.step}: validation loss {validation.loss:.4f}")

    def _save(self):
        from compacter_cli.pretraining.state import save_state

        save_state(self.directory, self.progress, self.trainer.tensors(), self.vocabulary.proto)

    def finish(self):
        """Write the preset, measured as it is loaded from its file, and delete the state."""
        from compacter_cli.pretraining.state import remove_state

        fresh = self.directory / f"preset.new-{os.getpid()}"
        try:
            preset.write_preset(
                fresh, self.model.backbone, self.vocabulary, self.recipe.output.precision
            )
            stored_loss, fingerprint = self._measured(fresh)
            size = (fresh / preset.WEIGHTS).stat().st_size
            result = report.result_of(self, stored_loss, fingerprint, size)
            write_json(self.directory / directories.SUMMARY, result)
            preset.move_into(self.directory, fresh)
        except OSError as error:
            raise CompacterError(
                f"cannot write the preset to {self.directory}: {error.strerror or error}",
                f"free some space, then: {report.resume_command(self.directory)}",
            ) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        remove_state(self.directory)
        return {"preset": str(self.directory), **result}

    def _measured(self, directory):
        """`(validation loss, fingerprint)` of a preset as it is loaded."""
        from compacter_cli.pretraining.loop import mean_loss
        from compacter_cli.t5.model import T5Model

        loaded = load_backbone(str(directory))
        return mean_loss(T5Model(loaded.keras), self.held_out), loaded.fingerprint

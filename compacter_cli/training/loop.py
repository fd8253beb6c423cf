"""Fine-tuning: a trainer over the training split, its order by epoch, and a score after each."""

from __future__ import annotations

import gc
import math
from array import array
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from compacter_cli.data.dataset import collated, shuffled_order
from compacter_cli.training.ahead import Ahead
from compacter_cli.training.processes import ALONE, Processes
from compacter_cli.training.records import EpochLine, ProgressRecord
from compacter_cli.training.scoring import Scores, evaluate
from compacter_cli.training.signals import StoppedError
from compacter_cli.training.trainer import Group, Trainer, Update, adamw, linear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from compacter_cli.data.dataset import Dataset, Split
    from compacter_cli.recipe.sections import TrainSection
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.vocabulary import Vocabulary
    from compacter_cli.tasks.base import Task


@dataclass(frozen=True)
class Epoch:
    """One finished epoch, counted from 1; `best` says whether it is the best so far."""

    number: int
    step: int
    loss: float
    validation: Scores
    best: bool

    def record(self) -> EpochLine:
        """The line of metrics.jsonl."""
        return {
            "kind": "epoch",
            "number": self.number,
            "step": self.step,
            "loss": self.loss if math.isfinite(self.loss) else None,
            "validation": self.validation.record(),
            "best": self.best,
        }


@dataclass(frozen=True)
class Progress:
    """How far a fine-tuning is, beside its trainer's updates.

    Attributes:
        epochs: finished, and scored.
        losses, counted: sum of the losses of the epoch's updates so far, and their number.
        best: mean of the best epoch's metrics; minus infinity before the first.
        stale: epochs since there was a better score.
        mute: whether no answer of the best epoch was one that the task knows.
    """

    epochs: int = 0
    losses: float = 0.0
    counted: int = 0
    best: float = -math.inf
    stale: int = 0
    mute: bool = False

    def after(self, update: Update) -> Progress:
        """The progress after one more update; a skipped one has no loss."""
        if update.skipped:
            return self
        return replace(self, losses=self.losses + update.loss, counted=self.counted + 1)

    def scored(self, scores: Scores) -> tuple[Progress, bool]:
        """The progress after one more epoch of these scores, and whether it is the best so far.

        A tie keeps the earlier epoch; not one that cannot answer yet, behind which more training
        is more.
        """
        better = scores.mean > self.best
        chosen = better or (self.mute and scores.mean == self.best)
        return Progress(
            epochs=self.epochs + 1,
            best=max(self.best, scores.mean),
            stale=0 if better else self.stale + 1,
            mute=scores.invalid == scores.count if chosen else self.mute,
        ), chosen

    def record(self) -> ProgressRecord:
        """The progress as plain data."""
        best = None if self.best == -math.inf else self.best
        return {
            "epochs": self.epochs,
            "losses": self.losses,
            "counted": self.counted,
            "best": best,
            "stale": self.stale,
            "mute": self.mute,
        }

    @classmethod
    def of_record(cls, record: ProgressRecord) -> Progress:
        """The progress that `record` gave."""
        best = record["best"]
        return cls(
            record["epochs"],
            record["losses"],
            record["counted"],
            -math.inf if best is None else best,
            record.get("stale", 0),
            record.get("mute", False),
        )


class ShuffledBatches:
    """The `Group` of every update: a split in an order of its own in every epoch.

    Args:
        split: the examples.
        section: the recipe's train section.
        seeds: (data seed, seed), which with the epoch decide the order.
        device: torch device name.
        processes: among whom the rows of every batch are dealt out; how many they are changes
            nothing of the batches.
    """

    def __init__(
        self,
        split: Split,
        section: TrainSection,
        seeds: tuple[int, int],
        device: str,
        processes: Processes = ALONE,
    ) -> None:
        self.per_epoch = section.updates_per_epoch(len(split))
        self._split, self._section, self._seeds, self._device = split, section, seeds, device
        self._processes = processes
        self._drawn: tuple[int, array[int]] = (0, array("q"))  # the latest epoch and its order

    def __call__(self, update: int) -> Group:
        epoch, place = divmod(update, self.per_epoch)
        size = self._section.batch_size
        whole = size * self._section.accumulate
        examples = self._order(epoch + 1)[place * whole : (place + 1) * whole].tolist()
        parts = [examples[start : start + size] for start in range(0, len(examples), size)]
        own = filter(None, map(self._processes.share, parts))  # of a last one, there may be none
        batches = [collated(self._split, part, self._device) for part in own]
        tokens = sum(len(self._split.targets[example]) for example in examples)
        return Group(batches, epoch + 1, examples, tokens)

    def _order(self, epoch: int) -> array[int]:
        if self._drawn[0] != epoch:
            self._drawn = epoch, shuffled_order(len(self._split), *self._seeds, epoch)
        return self._drawn[1]


class FineTuning:
    """The training of a recipe's epochs, from wherever its trainer and its progress are.

    Args:
        model: exactly its trained weights change.
        dataset: what is trained on, and validated on.
        task: for the metrics.
        vocabulary: to read the answers.
        section: the recipe's train section, resolved.
        seeds: (data seed, seed), which decide the composition of the batches; the latter dropout.
        device: torch device name.
        processes: those that train together.
        ahead: whether the next update's examples are brought to a GPU while it computes. Off: it
            has not been run on one.

    Attributes:
        trainer: what makes the updates.
        progress: how far it is besides.
        updates, per_epoch: of all epochs, and of one.
    """

    def __init__(
        self,
        model: T5Model,
        dataset: Dataset,
        task: Task,
        vocabulary: Vocabulary,
        section: TrainSection,
        seeds: tuple[int, int],
        device: str,
        processes: Processes = ALONE,
        ahead: bool = False,
    ) -> None:
        place = "cpu" if ahead else device
        batches = ShuffledBatches(dataset.train, section, seeds, place, processes)
        self.updates, self.per_epoch = batches.per_epoch * section.epochs, batches.per_epoch
        prepared = Ahead(batches, device, self.updates) if ahead else None
        self.progress = Progress()
        self.trainer = Trainer(
            model,
            adamw(model.trained_tensors().values()),
            linear(section.peak_rate, section.warmup_steps, self.updates),
            prepared or batches,
            seed=seeds[1],
            clip_norm=section.clip_norm,
            processes=processes,
            skip=section.not_finite == "skip",
            prepare=prepared.prepare if prepared else None,
        )
        self._scored = model, vocabulary, task, dataset
        self._section, self._device, self._processes = section, device, processes

    @property
    def ended(self) -> Literal["epochs", "patience"] | None:
        """Why no epoch is to come: all are trained, or too many in a row were no better."""
        if self.progress.epochs >= self._section.epochs:
            return "epochs"
        patience = self._section.patience
        return "patience" if patience is not None and self.progress.stale >= patience else None

    def events(self, stop: Callable[[], bool] = lambda: False) -> Iterator[Update | Epoch]:
        """Train to the end, yielding every `Update`, and an `Epoch` after every epoch.

        A generator, so that the caller saves, logs and shows; when it resumes it, training goes
        on. It ends early, with the update or the batch of an evaluation at hand, once `stop()` is
        true.

        Raises:
            NotFiniteError: the loss or the gradient is not finite.
        """
        while self.ended is None:
            while self.trainer.update < (self.progress.epochs + 1) * self.per_epoch:
                update = self.trainer.step()
                self.progress = self.progress.after(update)
                yield update
                if stop():
                    return
            try:
                epoch = self._score(stop)
            except StoppedError:
                return
            yield epoch
            if stop():
                return

    def _score(self, stop: Callable[[], bool]) -> Epoch:
        """Score the epoch that is done, and begin the next."""
        gc.collect()
        size = self._section.eval_batch_size
        how = size, self._device, stop, self._processes
        scores, _ = evaluate(*self._scored, "validation", *how)
        done = self.progress
        loss = done.losses / done.counted if done.counted else math.nan
        self.progress, best = done.scored(scores)
        return Epoch(self.progress.epochs, self.trainer.update, loss, scores, best)

"""The training loop: AdamW, warm-up and linear decay, clipping, accumulation, an epoch's score."""

import gc
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import torch

from compacter_cli.data.dataset import Dataset, batches, shuffled_order
from compacter_cli.errors import NotFiniteError
from compacter_cli.recipe.sections import TrainSection
from compacter_cli.t5.batch import Batch
from compacter_cli.t5.model import T5Model
from compacter_cli.t5.vocabulary import Vocabulary
from compacter_cli.tasks.base import Task
from compacter_cli.training.records import EpochLine, UpdateLine
from compacter_cli.training.scoring import Scores, evaluate


@dataclass(frozen=True)
class Update:
    """One optimizer step: counted from 1, with the mean loss of its examples before it."""

    step: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float

    def record(self) -> UpdateLine:
        """The line of metrics.jsonl."""
        return {
            "kind": "update",
            "step": self.step,
            "epoch": self.epoch,
            "loss": self.loss,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
        }


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
            "loss": self.loss,
            "validation": self.validation.record(),
            "best": self.best,
        }


def updates_per_epoch(examples: int, section: TrainSection) -> int:
    """Optimizer steps of an epoch: the last may hold fewer examples."""
    return math.ceil(examples / (section.batch_size * section.accumulate))


def rate_at(step: int, warmup: int, total: int) -> float:
    """Factor on the learning rate at `step` (0 first): linear up over `warmup`, then down to 0."""
    if step < warmup:
        return step / warmup
    return max(0.0, (total - step) / max(1, total - warmup))


def train(
    model: T5Model,
    dataset: Dataset,
    task: Task,
    vocabulary: Vocabulary,
    section: TrainSection,
    seeds: tuple[int, int],
    device: str,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[Update | Epoch]:
    """Train a model, yielding an `Update` after every step and an `Epoch` after every epoch.

    A generator, so that the caller saves, logs and shows; when it resumes it, training goes on.

    Args:
        model: `T5Model`; exactly its trained weights change.
        dataset: `Dataset`.
        task: `Task`, for the metrics.
        vocabulary: `Vocabulary`, to read the answers.
        section: the recipe's train section, resolved.
        seeds: (data seed, seed), which decide the composition of the batches.
        device: torch device name.
        stop: called after every update; training ends without an evaluation once it is true.

    Raises:
        NotFiniteError: the loss or the gradient is not finite.
    """
    parameters = list(model.trained_tensors().values())
    optimizer = optimizer_of(parameters, section.peak_rate)
    per_epoch = updates_per_epoch(len(dataset.train), section)
    total = per_epoch * section.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: rate_at(step, section.warmup_steps, total)
    )
    step, best = 0, -math.inf
    for epoch in range(1, section.epochs + 1):
        order = shuffled_order(len(dataset.train), seeds[0], seeds[1], epoch)
        stream = batches(dataset.train, section.batch_size, device, order)
        losses = []
        while group := list(islice(stream, section.accumulate)):
            rate = float(schedule.get_last_lr()[0])
            loss, norm = take_step(model, group, parameters, optimizer, section.clip_norm, step + 1)
            schedule.step()
            step += 1
            losses.append(loss)
            yield Update(step, epoch, loss, rate, norm)
            if stop():
                return
        gc.collect()
        scores, _ = evaluate(
            model, vocabulary, task, dataset, "validation", section.eval_batch_size, device
        )
        improved = scores.mean > best  # a tie keeps the earlier epoch
        best = max(best, scores.mean)
        yield Epoch(epoch, step, sum(losses) / len(losses), scores, improved)


def optimizer_of(parameters: Iterable[torch.Tensor], learning_rate: float) -> torch.optim.AdamW:
    """The paper's AdamW over `parameters`."""
    return torch.optim.AdamW(
        parameters,
        lr=learning_rate,
        betas=(0.9, 0.999),
        eps=1e-8,
        weight_decay=0.0,
        fused=True,  # one pass over the weights instead of ten
    )


def take_step(
    model: T5Model,
    group: Sequence[Batch],
    parameters: Sequence[torch.Tensor],
    optimizer: torch.optim.Optimizer,
    clip_norm: float,
    step: int,
) -> tuple[float, float]:
    """One optimizer step over a group of batches: (its token-mean loss, its gradient norm).

    Raises:
        NotFiniteError: the loss or the gradient is not finite; `step`, from 1, is named in it.
    """
    optimizer.zero_grad(set_to_none=True)
    tokens = sum(batch.target_tokens for batch in group)
    total = 0.0
    for batch in group:
        loss = model.summed_loss(batch, training=True) / tokens
        loss.backward()
        total += loss.item()
    norm = torch.nn.utils.clip_grad_norm_(parameters, clip_norm).item()
    if not (math.isfinite(total) and math.isfinite(norm)):
        raise NotFiniteError(
            f"the loss ({total}) or its gradient ({norm}) is not finite at step {step}; "
            "the last saved adapters are untouched",
            "try a smaller train.learning_rate, or backbone.precision=float32",
        )
    optimizer.step()
    return total, norm

"""What a child process does: build one method's model, train it a few steps, and measure them."""

from __future__ import annotations

import statistics
import time
from itertools import islice
from typing import TYPE_CHECKING

from compacter_cli.errors import UsageError
from compacter_cli.profiling.budget import NONE_FITS, largest_batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor

    from compacter_cli.profiling.job import Job, Probe
    from compacter_cli.profiling.rows import Costs, EpochCost, Failure, Machine
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.recipe.sections import TrainSection
    from compacter_cli.t5.batch import Batch
    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.shapes import T5Shape
    from compacter_cli.t5.vocabulary import Vocabulary

WARM_UP = {"cpu": 1, "cuda": 3}  # steps before the timed ones: kernels chosen, memory allotted
SEED = 42  # of the random tokens


def probe(asked: Probe) -> Machine:
    """The device that is meant, and what there is to know of it, keras apart.

    Raises:
        UsageError: there is no such device.
    """
    import torch

    from compacter_cli.profiling.limits import free_memory
    from compacter_cli.t5.runtime import device_named

    device = device_named(asked.device)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    on_gpu = device.startswith("cuda")
    return {
        "device": device,
        "device_name": torch.cuda.get_device_name(device) if on_gpu else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "free_bytes": torch.cuda.mem_get_info(device)[0] if on_gpu else free_memory(),
    }


def measure(job: Job) -> Costs | Failure:
    """The costs of a job's method.

    Raises:
        CompacterError: the budget cannot be enforced, or a step is not finite.
        MemoryError, RuntimeError: out of memory.
    """
    from compacter_cli.profiling.limits import limit_memory
    from compacter_cli.profiling.peak import process_bytes
    from compacter_cli.recipe.recipe import Recipe
    from compacter_cli.t5.runtime import hide_tensorflow, on_device, seed_everything, start_keras

    hide_tensorflow()
    start_keras()
    import torch

    if job.threads:
        torch.set_num_threads(job.threads)
    recipe = Recipe.model_validate(job.recipe)
    with on_device(job.device):
        if job.budget:
            limit_memory(job.budget, job.device)
        seed_everything(recipe.seed)
        frameworks = 0 if job.device.startswith("cuda") else process_bytes("VmRSS")
        stepper = Stepper(model_of_random_weights(recipe), recipe.train, job.device)
        size = recipe.train.batch_size
        if job.search:
            size = largest_on_gpu(stepper, recipe, job)
            if not size:
                return NONE_FITS
        return measured(stepper, recipe, job, size, frameworks)


def measured(
    stepper: Stepper, recipe: Recipe, job: Job, size: int, frameworks_bytes: int = 0
) -> Costs:
    """The costs of steps of batch `size`, and of the task's epoch where the job has a vocabulary.

    What is kept for backward is counted last: by then everything kept from step to step is there.
    """
    from compacter_cli.profiling.peak import PeakMemory
    from compacter_cli.profiling.saved import live_storages

    group = [random_batch(stepper.model.shape, recipe, job, size)] * recipe.train.accumulate
    weights = sum(live_storages().values())
    peak = PeakMemory(job.device)
    milliseconds = [1000 * seconds for seconds in stepper.timed([group] * job.steps, warm_up=group)]
    if job.answers:
        stepper.answer(random_batch(stepper.model.shape, recipe, job, job.answers), job.target)
    growth = peak.growth()
    stepper.release()  # what follows is computed beside what steps keep for the next
    median = statistics.median(milliseconds)
    examples = size * recipe.train.accumulate
    return {
        "batch": size,
        "frameworks_bytes": frameworks_bytes,
        "step_ms": {"median": median, "min": min(milliseconds), "max": max(milliseconds)},
        "steps_ms": milliseconds,
        "example_ms": median / examples,
        "tokens_per_second": 1000 * examples * (recipe.data.source_length + job.target) / median,
        "weight_bytes": weights,
        "growth_bytes": growth,
        "peak_bytes": weights + growth,
        "example_bytes": (weights + growth) / size,  # accumulated batches are not there at once
        "saved_bytes": stepper.saved_bytes(group[0]),
        "epoch": epoch(stepper, recipe, job, size, job.vocabulary) if job.vocabulary else None,
    }


class Stepper:
    """Full training steps of a model: forward, backward, clipping, AdamW.

    The rate is 0, as in a warm-up's first step: the same work, and weights that stay as they are.
    """

    def __init__(self, model: T5Model, section: TrainSection, device: str) -> None:
        from compacter_cli.training.trainer import Group, Trainer, adamw

        self.model, self._device = model, device
        self._trainer = Trainer(
            model,
            adamw(model.trained_tensors().values()),
            schedule=lambda _update: 0.0,
            batches=lambda _update: Group(()),  # each step is given its own
            seed=SEED,
            clip_norm=section.clip_norm,
        )

    def step(self, batches: Sequence[Batch]) -> None:
        """One step over a group of batches, to its end."""
        from compacter_cli.training.trainer import Group

        self._trainer.step(Group(batches))
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.synchronize(self._device)

    def timed(self, groups: Iterable[Sequence[Batch]], warm_up: Sequence[Batch]) -> list[float]:
        """Seconds of a step over each of `groups`, after untimed steps over `warm_up`.

        Making a group, where `groups` is a generator, is in its step's time.
        """
        for _ in range(WARM_UP[self._device.partition(":")[0]]):
            self.step(warm_up)
        seconds = []
        before = time.perf_counter()
        for group in groups:
            self.step(group)
            now = time.perf_counter()
            seconds.append(now - before)
            before = now
        return seconds

    def answer(self, batch: Batch, tokens: int) -> None:
        """Answer the sources of a batch with so many tokens, as scoring does."""
        import torch

        with torch.no_grad():
            forward = self.model.forward_pass()
        self.model.greedy(batch.source_ids, batch.source_mask, tokens, forward)

    def release(self) -> None:
        """Give back the memory that is kept for steps over the same batches."""
        self._trainer.release()
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()

    def saved_bytes(self, batch: Batch) -> int:
        """Bytes that one forward pass of a batch keeps for backward, weights not counted."""
        from compacter_cli.profiling.saved import live_storages, saved_tensors

        self._trainer.optimizer.zero_grad(set_to_none=True)
        with saved_tensors(live_storages()) as saved:
            self.model.summed_loss(batch, training=True)
        return saved.bytes


def model_of_random_weights(recipe: Recipe, shape: T5Shape | None = None) -> T5Model:
    """The recipe's `T5Model` on random weights of its backbone's dimensions, or of `shape`."""
    from compacter_cli.t5.loading import stored_in
    from compacter_cli.t5.random_backbone import random_backbone
    from compacter_cli.t5.shapes import shape_of
    from compacter_cli.training.session import model_of

    backbone = random_backbone(shape or shape_of(recipe.backbone.preset))
    precision = "float32" if recipe.method.trains_in_place else recipe.backbone.precision
    return model_of(*stored_in(precision, backbone), recipe)


def random_batch(shape: T5Shape, recipe: Recipe, job: Job, size: int) -> Batch:
    """A batch of random tokens, every source and target of full length."""
    import torch

    from compacter_cli.t5.batch import Batch
    from compacter_cli.t5.vocabulary import UNKNOWN

    generator = torch.Generator().manual_seed(SEED)

    def ids_and_mask(length: int) -> tuple[Tensor, Tensor]:
        of = (size, length)
        ids = torch.randint(UNKNOWN + 1, shape.vocabulary_size, of, generator=generator)
        return ids.to(job.device), torch.ones(of, dtype=torch.bool, device=job.device)

    return Batch(*ids_and_mask(recipe.data.source_length), *ids_and_mask(job.target))


def epoch(stepper: Stepper, recipe: Recipe, job: Job, size: int, vocabulary: str) -> EpochCost:
    """What an epoch of the task takes at its real lengths, by its first `job.steps` updates.

    The batches are the ones that training draws, and making them is in the time; the whole epoch
    is timed where it has no more updates than that.
    """
    from compacter_cli.data.dataset import batches, build_dataset, shuffled_order
    from compacter_cli.data.sources import load_rows
    from compacter_cli.tasks import task_of

    task = task_of(recipe)
    words = vocabulary_for(vocabulary, stepper.model.shape)
    rows = load_rows(task, recipe.data, offline=True)
    split = build_dataset(task, rows, words, recipe.data, recipe.seed).train
    order = shuffled_order(len(split), recipe.data.seed, recipe.seed, 1)
    accumulate = recipe.train.accumulate

    def groups() -> Iterator[list[Batch]]:
        stream = batches(split, size, job.device, order)
        while group := list(islice(stream, accumulate)):
            yield group

    timed = min(job.steps * size * accumulate, len(split))
    seconds = stepper.timed(islice(groups(), job.steps), warm_up=next(groups()))
    return {
        "seconds": sum(seconds) * len(split) / timed,
        "examples": len(split),
        "timed_examples": timed,
        "mean_source_tokens": statistics.mean(map(len, split.sources)),
    }


def vocabulary_for(name: str, shape: T5Shape) -> Vocabulary:
    """The vocabulary of a preset directory or `random/tiny`, which must fit the backbone.

    Raises:
        UsageError: it is none of them, or has more pieces than the backbone has rows.
    """
    from compacter_cli.t5.preset_places import find_vocabulary

    vocabulary = find_vocabulary(name)
    if vocabulary is None:
        raise UsageError(f"{name} is no preset directory", "give one that has the vocabulary")
    if len(vocabulary) > shape.vocabulary_size:
        raise UsageError(
            f"the vocabulary of {name} has {len(vocabulary):,} pieces, the backbone only "
            f"{shape.vocabulary_size:,} rows"
        )
    return vocabulary


def largest_on_gpu(stepper: Stepper, recipe: Recipe, job: Job) -> int:
    """The largest batch whose steps fit the budget on a GPU; 0 where a single example does not."""
    from compacter_cli.training.memory import is_out_of_memory

    def fits(size: int) -> bool:
        try:
            group = [random_batch(stepper.model.shape, recipe, job, size)]
            for _ in range(2):  # the first makes the optimizer's state, the second has a graph too
                stepper.step(group)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            return False
        finally:
            stepper.release()
        return True

    return largest_batch(fits, first=recipe.train.batch_size)

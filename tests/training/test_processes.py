"""What several processes share, with threads in their place; `tests/faults` has real ones."""

import threading

import numpy as np
import pytest
import torch

from compacter_cli.data.dataset import Split
from compacter_cli.errors import UsageError
from compacter_cli.methods import METHODS
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.sections import TrainSection
from compacter_cli.t5.loading import load_backbone
from compacter_cli.training.loop import ShuffledBatches
from compacter_cli.training.passes import PlainPasses
from compacter_cli.training.processes import ALONE, Processes
from compacter_cli.training.run import check_share
from compacter_cli.training.trainer import Trainer, adamw, linear

SEEDS = (42, 7)


@pytest.fixture(autouse=True)
def on_cpu(keras):
    with keras.device("cpu"):
        yield


def split_of(size):
    draw = np.random.default_rng(0)
    sources = [[*draw.integers(3, 64, draw.integers(2, 9)).tolist(), 1] for _ in range(size)]
    targets = [[*draw.integers(3, 64, draw.integers(1, 5)).tolist(), 1] for _ in range(size)]
    return Split("train", sources, targets, [{"idx": i} for i in range(size)], 0)


class Placed(Processes):
    """One of several that exchange nothing."""

    def __init__(self, rank, count):
        self.rank, self.count = rank, count


class InThreads(Placed):
    """One of several threads, which add up what each has."""

    def __init__(self, rank, given, barrier):
        super().__init__(rank, len(given))
        self._given, self._barrier = given, barrier

    def _all(self, value):
        self._given[self.rank] = value
        self._barrier.wait(60)
        found = list(self._given)
        self._barrier.wait(60)
        return found

    def sum_(self, tensor):
        tensor.copy_(sum(self._all(tensor.clone())))

    def total(self, number):
        return sum(self._all(number))


# The batches.


@pytest.mark.parametrize("count", [1, 2, 3])
def test_the_rows_of_all_processes_are_those_of_one(count):
    split, section = split_of(11), TrainSection(batch_size=3, accumulate=2)
    for update in (0, 1, 2):  # the last of an epoch has two passes, of three rows and of two
        whole = ShuffledBatches(split, section, SEEDS, "cpu")(update)
        parts = [
            ShuffledBatches(split, section, SEEDS, "cpu", Placed(rank, count))(update)
            for rank in range(count)
        ]
        rows = [row for part in parts for batch in part.batches for row in texts(batch)]
        assert sorted(rows) == sorted(row for batch in whole.batches for row in texts(batch))
        assert {part.target_tokens for part in parts} == {
            sum(batch.target_tokens for batch in whole.batches)
        }
        assert all(part.examples == whole.examples for part in parts)


def texts(batch):
    return [ids[mask].tolist() for ids, mask in zip(batch.source_ids, batch.source_mask)]  # noqa: B905


def test_a_process_for_which_no_row_is_left_has_no_batch():
    split, section = split_of(4), TrainSection(batch_size=3)
    groups = [
        ShuffledBatches(split, section, SEEDS, "cpu", Placed(rank, 3))(1) for rank in range(3)
    ]
    assert [len(group.batches) for group in groups] == [1, 0, 0]
    assert groups[2].target_tokens == groups[0].batches[0].target_tokens


# An update.


@pytest.fixture(scope="module")
def shared(keras):
    with keras.device("cpu"):
        return load_backbone("random/tiny").keras


def trainer_of(backbone, processes, method="compacterpp", dropout=0.0):
    from compacter_cli.t5.model import T5Model

    settings = {"bottleneck": 8} if method == "compacterpp" else {}
    model = T5Model(backbone, METHODS[method](**settings), seed=3, dropout=dropout)
    section = TrainSection(batch_size=4, accumulate=2)
    batches = ShuffledBatches(split_of(17), section, SEEDS, "cpu", processes)
    optimizer = adamw(model.trained_tensors().values())
    return Trainer(model, optimizer, linear(1e-2, 1, 6), batches, 7, 1.0, processes)


def in_threads(count, work):
    """What `work(processes)` gives in each of `count` threads."""
    given, barrier, found = [None] * count, threading.Barrier(count), [None] * count

    def one(rank):
        try:
            found[rank] = work(InThreads(rank, given, barrier))
        except BaseException:
            barrier.abort()
            raise

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize(("count", "method"), [(2, "compacterpp"), (3, "full")])
def test_losses_and_weights_of_several_are_those_of_one(shared, count, method):
    alone = trainer_of(shared, ALONE, method)
    wanted = [alone.step() for _ in range(4)]  # the third has one row alone: some have none
    trainers = [trainer_of(shared, Placed(rank, count), method) for rank in range(count)]

    def work(processes):
        trainer = trainers[processes.rank]
        trainer.processes = processes
        return [trainer.step() for _ in range(4)]

    found = in_threads(count, work)
    assert found[1:] == found[:-1]  # to the bit
    for update, want in zip(found[0], wanted, strict=True):
        assert update.loss == pytest.approx(want.loss, rel=1e-5)
        assert update.gradient_norm == pytest.approx(want.gradient_norm, rel=1e-4)
    for trainer in trainers[1:]:
        for name, tensor in trainer.model.trained_tensors().items():
            assert torch.equal(tensor, trainers[0].model.trained_tensors()[name])


def test_dropout_of_each_process_is_its_own(shared):
    def work(processes):
        trainer = trainer_of(shared, processes, dropout=0.5)
        trainer.processes = Placed(processes.rank, 1)  # which adds nothing up
        return trainer.step(
            ShuffledBatches(split_of(4), TrainSection(batch_size=4), SEEDS, "cpu")(0)
        )

    one, other = in_threads(2, work)
    assert one.loss != other.loss


def test_a_gradient_that_is_not_there_counts_as_zero():
    weights = [torch.ones(2, requires_grad=True), torch.ones(3, 1, requires_grad=True)]
    passes = PlainPasses(None, weights)
    weights[1].grad = torch.full((3, 1), 2.0)
    passes.combine(lambda flat: flat.add_(torch.arange(5.0)))
    assert weights[0].grad.tolist() == [0.0, 1.0]
    assert weights[1].grad.tolist() == [[4.0], [5.0], [6.0]]


def test_more_processes_than_rows_are_refused():
    recipe = load_recipe("demo/smoke_compacterpp", ["train.batch_size=2"])
    check_share(recipe, Placed(0, 2))
    with pytest.raises(UsageError, match="3 processes share batches of 2"):
        check_share(recipe, Placed(0, 3))

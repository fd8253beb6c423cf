"""What several processes share, with threads in their place; `tests/faults` has real ones."""

import os
import signal
import threading

import numpy as np
import pytest
import torch
from torch import distributed

from compacter_cli.data.dataset import Split
from compacter_cli.errors import CompacterError, ToldElsewhereError, UsageError
from compacter_cli.main import app
from compacter_cli.methods import METHODS
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.sections import TrainSection
from compacter_cli.t5.loading import load_backbone
from compacter_cli.training import processes as several
from compacter_cli.training.loop import ShuffledBatches
from compacter_cli.training.passes import PlainPasses
from compacter_cli.training.processes import ALONE, Processes, Several, check_alone, joined
from compacter_cli.training.run import check_share
from compacter_cli.training.signals import Stop, deferred_signals
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


# What torch.distributed is asked.


@pytest.fixture
def one_of_one():
    """A `Several` of one process, by gloo."""
    found = Several(distributed.HashStore(), 0, 1, "cpu")
    yield found
    distributed.destroy_process_group()


def test_a_group_of_one_is_as_one_alone(one_of_one):
    tensors = {"a": torch.arange(3.0), "scalar": torch.tensor(2.0)}
    for processes in (ALONE, one_of_one):
        gradient = torch.tensor([1.0, 2.0])
        processes.sum_(gradient)
        assert gradient.tolist() == [1.0, 2.0]
        assert (processes.total(0.1), processes.most(3)) == (0.1, 3)
        assert processes.in_order(["x", "y"]) == ["x", "y"]
        assert processes.of_main(lambda: {"k": (1, None)}) == {"k": (1, None)}
        found = processes.tensors_of_main(lambda: tensors)
        assert {name: t.tolist() for name, t in found.items()} == {"a": [0, 1, 2], "scalar": 2}
        with processes.one_first():
            processes.wait()


@pytest.mark.usefixtures("plain_sigterm")
def test_a_signal_to_one_is_agreed_upon_and_stays(one_of_one):
    own = Stop()
    stop = one_of_one.agreed(own)
    assert not stop()
    own.signum = 15
    assert stop()
    assert stop.interrupted("so").exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN  # the launcher's, to the last ones
    own.signum = None
    assert stop()


def test_what_was_dealt_out_comes_back_in_order(one_of_one, monkeypatch):
    one_of_one.count = 3
    shares = [list(Placed(rank, 3).share("abcdefgh")) for rank in range(3)]
    monkeypatch.setattr(
        distributed, "all_gather_object", lambda found, own: found.__setitem__(slice(3), shares)
    )
    assert one_of_one.in_order(shares[0]) == list("abcdefgh")


def raising(error):
    def fail(*_, **__):
        raise error

    return fail


CLOSED = RuntimeError("[gloo/transport/tcp/pair.cc:553]\nConnection closed by peer")


@pytest.mark.usefixtures("plain_sigterm")
def test_a_lost_process_is_said_in_a_line_that_a_launcher_does_not_cut_short(
    one_of_one, monkeypatch
):
    monkeypatch.setattr(distributed, "all_reduce", raising(CLOSED))
    said = r"another process of this run has ended.*pair.cc:553\] Connection closed by peer"
    with pytest.raises(CompacterError, match=said), deferred_signals():
        one_of_one.wait()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


def test_a_process_that_is_lost_because_another_failed_leaves_the_telling(one_of_one, monkeypatch):
    monkeypatch.setattr(distributed, "all_reduce", raising(CLOSED))
    one_of_one._store.set(several._ENDED, "1 3")
    with pytest.raises(ToldElsewhereError) as caught:
        one_of_one.wait()
    assert caught.value.exit_code == 3


@pytest.mark.usefixtures("plain_sigterm")
def test_what_else_goes_wrong_between_processes_is_not_taken_for_an_end(one_of_one, monkeypatch):
    error = RuntimeError("NCCL error: unhandled cuda error\nDuplicate GPU detected")
    monkeypatch.setattr(distributed, "all_reduce", raising(error))
    with pytest.raises(CompacterError, match=r"do not reach each other: .* Duplicate GPU detected"):
        one_of_one.wait()
    monkeypatch.setattr(distributed, "all_reduce", raising(torch.OutOfMemoryError("out of memory")))
    with pytest.raises(torch.OutOfMemoryError):  # which has its own advice
        one_of_one.wait()


def test_others_wait_for_the_first_of_their_machine_however_long(one_of_one, monkeypatch):
    one_of_one.rank, one_of_one._here = 5, 1
    looks = []

    def slept(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            one_of_one._store.set(f"{several._FIRST}/4", "")

    monkeypatch.setattr(several.time, "sleep", slept)
    one_of_one._store.set(f"{several._FIRST}/0", "")  # another machine's
    with one_of_one.one_first():
        assert len(looks) == 3


def test_others_do_not_wait_for_one_that_has_failed(one_of_one):
    one_of_one.rank, one_of_one._here = 1, 1
    one_of_one._store.set(several._ENDED, "0 3")
    with pytest.raises(ToldElsewhereError) as caught, one_of_one.one_first():
        pass
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("here", "said"), [("4", "torchrun --nproc-per-node 4"), ("3", "torchrun <as before>")]
)
def test_the_words_that_start_them_again_are_those_that_are_known(monkeypatch, here, said):
    monkeypatch.setattr(distributed, "init_process_group", lambda *_, **__: None)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", here)
    assert Several(distributed.HashStore(), 0, 4, "cpu").program == f"{said} -m compacter_cli"


@pytest.fixture
def plain_sigterm():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("plain_sigterm")
def test_the_first_to_end_tells_and_the_others_end_with_its_code():
    store = distributed.HashStore()
    several._leave_the_telling(store, 1, 2)
    several._leave_the_telling(store, 1, 130)  # still the one
    with pytest.raises(ToldElsewhereError) as caught:
        several._leave_the_telling(store, 0, 1)
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("plain_sigterm")
@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError(), 1), (UsageError("so"), 2)]
)
def test_how_one_ends_is_known_to_the_others(monkeypatch, error, code):
    store = distributed.HashStore()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(several, "_met", lambda: store)
    monkeypatch.setattr(several, "Several", lambda *_: Placed(1, 2))
    with pytest.raises(type(error)), joined("cpu"):
        raise error
    assert store.get(several._ENDED) == f"1 {code}".encode()


# What several cannot do.


def test_one_alone_is_joined_without_torch_s_help(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as processes:
        assert processes is ALONE
    assert not distributed.is_initialized()


@pytest.mark.parametrize("found", ["", "two", "0", "-1", "²"])
def test_a_number_of_processes_that_is_none_is_refused(monkeypatch, found):
    monkeypatch.setenv("WORLD_SIZE", found)
    with pytest.raises(UsageError, match="expected the number of processes"):
        several.launched()


def test_processes_that_know_no_place_to_meet_are_told_how_to_be_started(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CompacterError, match="do not find each other") as caught, joined("cpu"):
        pass
    assert "torchrun --nproc-per-node N" in caught.value.hint


def test_more_processes_than_rows_are_refused():
    recipe = load_recipe("demo/smoke_compacterpp", ["train.batch_size=2"])
    check_share(recipe, Placed(0, 2))
    with pytest.raises(UsageError, match="3 processes share batches of 2"):
        check_share(recipe, Placed(0, 3))


@pytest.mark.parametrize("rank", ["0", "1"])
def test_a_command_for_one_is_refused_once(monkeypatch, capsys, rank):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", rank)
    with pytest.raises(SystemExit) as stop:
        app(["recipes", "list"])
    assert stop.value.code == 2
    printed = "".join(capsys.readouterr())
    assert ("2 processes were started for compacter recipes" in printed) == (rank == "0")
    assert bool(printed) == (rank == "0")


def test_a_command_is_for_one_where_nothing_says_otherwise(monkeypatch):
    monkeypatch.setitem(os.environ, "WORLD_SIZE", "1")
    check_alone("evaluate")


@pytest.mark.parametrize(
    ("here", "device", "said"),
    [(2, None, "2 processes take a GPU each, and 1 are here"), (2, "cuda:0", "is one GPU")],
)
def test_processes_without_a_gpu_each_are_refused(monkeypatch, here, device, said):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=said):
        several._take_gpu(1, here, device)

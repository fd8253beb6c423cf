"""What torch.distributed is asked, by a group of one; `tests/faults` has real ones."""

import signal

import pytest
import torch
from torch import distributed

from compacter_cli.errors import CompacterError, ToldElsewhereError, UsageError
from compacter_cli.training import several
from compacter_cli.training.processes import ALONE
from compacter_cli.training.several import Several
from compacter_cli.training.signals import Stop, deferred_signals
from compacter_cli.training.telling import ENDED


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
    shares = [list("adg"), list("beh"), list("cf")]
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
    one_of_one._store.set(ENDED, "1 3")
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
    one_of_one._store.set(ENDED, "0 3")
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


@pytest.mark.parametrize(
    ("here", "device", "said"),
    [(2, None, "2 processes take a GPU each, and 1 are here"), (2, "cuda:0", "is one GPU")],
)
def test_processes_without_a_gpu_each_are_refused(monkeypatch, here, device, said):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(UsageError, match=said):
        several._take_gpu(1, here, device)

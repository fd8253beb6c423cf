import os
from contextlib import suppress

import pytest
from torch import distributed

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.main import app
from compacter_cli.training import joining
from compacter_cli.training.joining import check_alone, joined
from compacter_cli.training.processes import ALONE
from compacter_cli.training.telling import ENDED


@pytest.mark.usefixtures("plain_sigterm")
@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (OSError(), 1), (UsageError("so"), 2)]
)
def test_how_one_ends_is_known_to_the_others(monkeypatch, error, code):
    store = distributed.HashStore()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(joining, "_met", lambda: store)
    monkeypatch.setattr(joining, "Several", lambda *_: ALONE)
    with pytest.raises(type(error)), joined("cpu"):
        raise error
    assert store.get(ENDED) == f"1 {code}".encode()


@pytest.mark.usefixtures("plain_sigterm")
@pytest.mark.parametrize(
    ("backends", "error", "ended"),
    [
        ("cpu:gloo,cuda:nccl", None, True),
        ("cpu:gloo,cuda:nccl", OSError, False),
        ("cpu:gloo,cuda:gloo", OSError, True),
    ],
)
def test_their_group_is_ended_but_where_nccl_would_wait_for_who_is_lost(
    monkeypatch, backends, error, ended
):
    done = []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(joining, "_met", distributed.HashStore)
    monkeypatch.setattr(joining, "Several", lambda *_: ALONE)
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_backend_config", lambda: backends)
    monkeypatch.setattr(distributed, "destroy_process_group", lambda: done.append(True))
    with suppress(OSError), joined():
        if error:
            raise error
    assert bool(done) == ended


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
        joining.launched()


def test_processes_that_know_no_place_to_meet_are_told_how_to_be_started(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(CompacterError, match="do not find each other") as caught, joined("cpu"):
        pass
    assert "torchrun --nproc-per-node N" in caught.value.hint


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

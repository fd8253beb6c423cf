"""After a loss of power in a save there is the state before or the state after, and no third."""

import itertools
import json
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from compacter_cli import files
from compacter_cli.adapters.adapter_file import load_adapter, save_adapter
from compacter_cli.errors import CompacterError
from compacter_cli.files import write_json
from compacter_cli.pretraining.state import Progress, load_state, save_state
from compacter_cli.tasks import TASKS
from compacter_cli.training import checkpoints, trainer
from compacter_cli.training.predictions import read_predictions, write_predictions

LOSS = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("power_loss.py"))))


def adapter_of(value):
    """(tensors, manifest) of an adapter that says which one it is."""
    tensors = {"a": torch.full((2, 3), float(value)), "b": torch.full((4,), float(value))}
    manifest = {
        "format": "compacter-adapter", "version": 1, "method": {}, "task": "t", "recipe": {},
        "backbone": {"preset": "p", "fingerprint": "f", "vocabulary_sha256": "v"},
        "metrics": {"epoch": value},
        "tensors": {name: {"shape": list(t.shape), "dtype": "F32"} for name, t in tensors.items()},
    }  # fmt: skip
    return tensors, manifest


def save_an_adapter(root, value):
    save_adapter(root / "best", *adapter_of(value))


def read_the_adapter(root):
    found = load_adapter(root / "best")
    assert (found.tensors["a"] == found.manifest["metrics"]["epoch"]).all()
    return int(found.manifest["metrics"]["epoch"])


def save_a_state(root, value):
    progress = Progress(value, 1.0, 1.0, 0.0, "text")
    save_state(root, progress, {"weight/a": torch.full((3,), float(value))}, b"vocabulary")


def read_the_state(root):
    found = load_state(root)
    assert (found.tensors["weight/a"] == found.progress.step).all()
    return found.progress.step


def save_a_result(root, value):
    write_json(root / "result.json", {"value": value})


def read_the_result(root):
    return json.loads((root / "result.json").read_text())["value"]


def save_predictions(root, value):
    rows = [{"idx": 0, "sentence1": "P.", "sentence2": "C.", "label": 1}]
    write_predictions(root, TASKS["glue/rte"], rows, [str(value)])


def read_the_predictions(root):
    return int(read_predictions(root).predicted[0])


def save_a_run_state(root, value):
    names = {"weight/a": (2, 3), "weight/b": (4,), "exp_avg/a": (2, 3)}
    tensors = {name: torch.full(shape, float(value)) for name, shape in names.items()}
    checkpoints.save(root, trainer.State(value, tensors), {"at": value}, False, "")


def read_the_run_state(root):
    found = checkpoints.newest(root).checkpoint
    if found is None:
        raise FileNotFoundError
    assert found.state.tensors.keys() == {"weight/a", "weight/b", "exp_avg/a"}
    assert all((t == found.state.update).all() for t in found.state.tensors.values())
    assert found.record == {"at": found.state.update}
    return found.state.update


SAVES = {
    "adapter": (save_an_adapter, read_the_adapter),
    "run state": (save_a_run_state, read_the_run_state),
    "pretraining state": (save_a_state, read_the_state),
    "result": (save_a_result, read_the_result),
    "predictions": (save_predictions, read_the_predictions),
}


def replayed(kind, tmp_path, monkeypatch, values):
    """What is found after every state that a save of the last of `values` can leave.

    Those before it were saved before; `None` stands for nothing. Gives the set of all, the set of
    those once the save has returned, and how many states there were.
    """
    save, read = SAVES[kind]
    root = tmp_path / "disk"
    root.mkdir()
    for value in values[:-1]:
        if value is not None:
            save(root, value)
    before = LOSS.tree_of(root)
    recorder = LOSS.Recorder(root)
    with recorder.watching(monkeypatch):
        save(root, values[-1])
    assert LOSS.tree_of(root) == _replayed_whole(before, recorder.operations)
    counter, found = itertools.count(), []
    for _, trees in LOSS.states_after(before, recorder.operations):
        last = len(found)
        for tree in trees:
            place = LOSS.laid_out(tree, tmp_path / f"after{next(counter)}")
            try:
                found.append(read(place))
            except (CompacterError, FileNotFoundError):
                found.append(None)
    return set(found), set(found[last:]), len(found)


def _replayed_whole(tree, operations):
    for operation in operations:
        tree = LOSS.applied(tree, *operation)
    return tree


@pytest.mark.parametrize("kind", SAVES)
def test_a_save_over_another_leaves_one_of_the_two(kind, tmp_path, monkeypatch):
    found, at_the_end, states = replayed(kind, tmp_path, monkeypatch, (1, 2))
    assert found == {1, 2}
    assert at_the_end == {2}
    assert states >= 10


@pytest.mark.parametrize("kind", SAVES)
def test_a_first_save_is_there_whole_or_not_at_all(kind, tmp_path, monkeypatch):
    found, at_the_end, _ = replayed(kind, tmp_path, monkeypatch, (None, 2))
    assert found == {None, 2}
    assert at_the_end == {2}


@pytest.mark.parametrize("earlier", [1, 2, 3])
def test_a_run_state_over_others_leaves_it_or_the_one_before(earlier, tmp_path, monkeypatch):
    values = range(1, earlier + 2)
    found, at_the_end, states = replayed("run state", tmp_path, monkeypatch, values)
    assert found == {earlier, earlier + 1}
    assert at_the_end == {earlier + 1}
    assert states >= 25


def test_a_run_state_over_itself_is_found_wherever_the_power_was_lost(tmp_path, monkeypatch):
    found, at_the_end, _ = replayed("run state", tmp_path, monkeypatch, (1, 2, 2))
    assert found == {1, 2}  # the one before, while that in its place is set aside
    assert at_the_end == {2}


def without_data(monkeypatch):
    monkeypatch.setattr(files, "write_durably", lambda path, data: path.write_bytes(data))


def without_directories(monkeypatch):
    monkeypatch.setattr(files, "sync", lambda path: None)


def without_the_new_directory(monkeypatch):
    real = files.sync
    monkeypatch.setattr(files, "sync", lambda path: None if ".new-" in str(path) else real(path))


@pytest.mark.parametrize(
    ("leave_out", "found", "at_the_end"),
    [
        (without_data, {None, 1, 2}, {None, 2}),
        (without_directories, {1, 2}, {1, 2}),
        (without_the_new_directory, {None, 1, 2}, {None, 2}),
    ],
)
def test_a_sync_that_is_left_out_would_be_noticed(
    leave_out, found, at_the_end, tmp_path, monkeypatch
):
    leave_out(monkeypatch)
    assert replayed("adapter", tmp_path, monkeypatch, (1, 2))[:2] == (found, at_the_end)


@pytest.mark.parametrize("leave_out", [without_data, without_directories])
def test_a_sync_that_a_run_state_left_out_would_be_noticed(leave_out, tmp_path, monkeypatch):
    leave_out(monkeypatch)
    found, at_the_end, _ = replayed("run state", tmp_path, monkeypatch, (1, 2, 3))
    assert (found, at_the_end) == ({2, 3}, {2, 3})  # it may be lost although it counts as saved

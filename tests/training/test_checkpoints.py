import errno
import json
import os
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from compacter_cli import files
from compacter_cli.adapters.manifest import hash_of
from compacter_cli.errors import CompacterError
from compacter_cli.training import checkpoints
from compacter_cli.training.checkpoints import (
    MANIFEST,
    OPTIMIZER,
    WEIGHTS,
    bytes_of,
    newest,
    remove,
    remove_older,
    save,
)
from compacter_cli.training.run_directory import remove_states
from compacter_cli.training.trainer import State

HERE = Path(__file__).parent
LOSS = SimpleNamespace(**runpy.run_path(str(HERE.parent / "faults" / "power_loss.py")))
FILES = (WEIGHTS, OPTIMIZER, MANIFEST)


def state_of(update):
    """A state whose every number is its update's; one tensor lies in memory transposed."""
    names = {"weight/a": (3, 2), "weight/b": (4,), "exp_avg/a": (2, 3), "step/a": ()}
    tensors = {name: torch.full(shape, float(update)) for name, shape in names.items()}
    tensors["weight/a"] = tensors["weight/a"].T
    return State(update, tensors)


def save_at(directory, update, scored=False):
    save(directory, state_of(update), {"at": update, "scored": scored}, scored, "compacter go on")


def place_of(directory, update=2):
    return directory / "state" / f"{update:08d}"


def names_in(directory):
    return sorted(entry.name for entry in (directory / "state").iterdir())


def found_at(directory):
    """The update of the newest state, which is as it was saved; `None` where there is none."""
    checkpoint = newest(directory).checkpoint
    if checkpoint is None:
        return None
    update, tensors = checkpoint.state
    assert checkpoint.record["at"] == update
    assert tensors.keys() == state_of(update).tensors.keys()
    assert all(torch.equal(tensors[k], t) for k, t in state_of(update).tensors.items())
    return update


@pytest.fixture
def two(tmp_path):
    """A directory with the states of the updates 1 and 2."""
    save_at(tmp_path, 1)
    save_at(tmp_path, 2)
    return tmp_path


# Saving.


def test_a_state_comes_back_as_it_was(tmp_path):
    assert newest(tmp_path) == (checkpoints.Found(None, {}))
    save_at(tmp_path, 120)
    found = newest(tmp_path)
    assert found.damaged == {}
    assert found.checkpoint.record == {"at": 120, "scored": False}
    assert found_at(tmp_path) == 120


def test_a_state_is_two_files_of_tensors_and_a_manifest(tmp_path):
    save_at(tmp_path, 120)
    place = place_of(tmp_path, 120)
    assert sorted(entry.name for entry in place.iterdir()) == sorted(FILES)
    manifest = json.loads((place / MANIFEST).read_text())
    assert (manifest["format"], manifest["version"]) == ("compacter-run-state", 1)
    assert manifest["update"] == 120
    assert manifest["manifest_sha256"] == hash_of(manifest)
    assert list(manifest["files"]) == [WEIGHTS, OPTIMIZER]
    for name, described in manifest["files"].items():
        assert described["bytes"] == (place / name).stat().st_size
    assert bytes_of(state_of(120)) == 4 * (6 + 4 + 6 + 1)


def test_weights_and_what_the_optimizer_keeps_lie_apart(tmp_path):
    from safetensors.torch import load_file

    save_at(tmp_path, 1)
    assert load_file(place_of(tmp_path, 1) / WEIGHTS).keys() == {"weight/a", "weight/b"}
    assert load_file(place_of(tmp_path, 1) / OPTIMIZER).keys() == {"exp_avg/a", "step/a"}


def test_the_newest_two_are_kept(tmp_path):
    for update in (1, 2, 3, 4):
        save_at(tmp_path, update)
        assert found_at(tmp_path) == update
    assert names_in(tmp_path) == ["00000003", "00000004"]


def test_the_order_is_that_of_the_updates_and_then_of_the_scores(tmp_path):
    order = [("00000120", 120), ("00000120e", 120), ("00000121", 121), ("99999999e", 99_999_999)]
    order += [("100000000", 100_000_000), ("100000000e", 100_000_000)]
    saved = []
    for name, update in order:
        save_at(tmp_path, update, scored=name.endswith("e"))
        saved = [*saved, name][-2:]
        assert names_in(tmp_path) == sorted(saved)
        assert newest(tmp_path).checkpoint.record == {"at": update, "scored": name[-1] == "e"}


def test_the_same_update_again_takes_the_place_of_the_one_before(two):
    save(two, state_of(2), {"at": 2, "again": True}, False, "")
    assert newest(two).checkpoint.record["again"]
    assert names_in(two) == ["00000001", "00000002"]


def test_what_killed_processes_left_is_swept_and_nothing_else(two):
    for name in ("00000003.new-77", "00000002.previous", "00000004e.new-1"):
        (two / "state" / name).mkdir()
        (two / "state" / name / WEIGHTS).write_bytes(b"half")
    (two / "state" / "mine").mkdir()
    (two / "state" / "00000009.txt").write_text("mine")
    assert found_at(two) == 2
    remove_older(two)
    assert names_in(two) == ["00000001", "00000002", "00000009.txt", "mine"]
    save_at(two, 3)
    assert names_in(two) == ["00000002", "00000003", "00000009.txt", "mine"]


def test_states_are_removed_by_name(two, tmp_path):
    save_at(two, 3)
    (two / "state" / "00000004").write_text("a file in the place of a state")
    (two / "elsewhere").mkdir()
    (two / "elsewhere" / "kept").write_text("")
    (two / "state" / "00000005").symlink_to(two / "elsewhere")
    remove(two, newest(two).damaged)
    assert names_in(two) == ["00000002", "00000003"]
    assert (two / "elsewhere" / "kept").exists()
    remove_states(two)
    assert not (two / "state").exists()
    remove_states(two)  # of a run that never saved


# Failing to save.


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_full_disk_says_what_was_needed_and_keeps_the_ones_before(two, monkeypatch, failing):
    real, calls = files.write_durably, []

    def full(path, data):
        calls.append(path.name)
        if len(calls) == failing:
            path.write_bytes(data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data)

    monkeypatch.setattr(files, "write_durably", full)
    monkeypatch.setattr(files, "free_bytes", lambda directory: 7)
    with pytest.raises(CompacterError) as caught:
        save_at(two, 3)
    assert str(caught.value) == (
        f"cannot save the state to {place_of(two, 3)}: No space left on device; "
        "68 bytes were needed, 7 bytes are free"
    )
    told = "free some space, then: compacter go on; the state saved before is untouched"
    assert caught.value.hint == told
    assert calls == [WEIGHTS, OPTIMIZER, MANIFEST][:failing]
    assert names_in(two) == ["00000001", "00000002"]
    assert found_at(two) == 2


def test_a_lost_permission_is_not_a_lack_of_space(two, monkeypatch):
    def refused(path, data):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files, "write_durably", refused)
    with pytest.raises(CompacterError, match=r"(?m)Permission denied$") as caught:
        save_at(two, 3)
    assert caught.value.hint.startswith("give yourself the right to write there, then: compacter")
    assert found_at(two) == 2


def test_files_are_synced_before_the_state_is_in_its_place_and_that_before_others_go(
    two, monkeypatch
):
    recorder = LOSS.Recorder(two)
    with recorder.watching(monkeypatch):
        save_at(two, 3)
    fresh = f"state/00000003.new-{os.getpid()}"
    expected = [("mkdir", fresh)]
    for name in (WEIGHTS, OPTIMIZER, MANIFEST):
        expected += [(kind, f"{fresh}/{name}") for kind in ("create", "write", "sync")]
    expected += [
        ("sync", fresh),
        ("rename", fresh),
        ("sync", "state"),
        ("rmtree", "state/00000001"),
    ]
    assert [(kind, path) for kind, path, _ in recorder.operations] == expected


# Damage.


@pytest.mark.parametrize("name", FILES)
def test_a_bit_that_flipped_anywhere_is_noticed_and_the_one_before_is_found(two, name):
    path = place_of(two) / name
    whole = path.read_bytes()
    assert len(whole) > 100
    for index in range(len(whole)):  # every byte, each with another bit
        data = bytearray(whole)
        data[index] ^= 1 << index % 8
        path.write_bytes(data)
        found = newest(two)
        assert found.checkpoint is not None, index
        assert found.checkpoint.state.update == 1, index
        assert list(found.damaged) == ["00000002"]
        assert found.damaged["00000002"].isprintable()
    path.write_bytes(whole)
    assert found_at(two) == 2


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_was_cut_is_noticed(two, name):
    path = place_of(two) / name
    whole = path.read_bytes()
    # The manifest's last character ends its last line, and says nothing.
    for length in range(0, len(whole) - (name == MANIFEST), 3):
        path.write_bytes(whole[:length])
        assert found_at(two) == 1


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_damage(two, name):
    (place_of(two) / name).unlink()
    assert newest(two).damaged == {"00000002": "No such file or directory"}
    assert found_at(two) == 1


def test_reasons_of_all_that_are_damaged_are_given(two):
    for update in (1, 2):
        (place_of(two, update) / WEIGHTS).write_bytes(b"")
    reason = f"the hash of {WEIGHTS} is not the one written down"
    assert newest(two) == checkpoints.Found(None, {"00000002": reason, "00000001": reason})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "Expecting value"),
        ("[]", "no attribute 'get'"),
        ("null", "no attribute 'get'"),
        ("{}", "none of a run's state"),
        ("[" * 5_000 + "]" * 5_000, "nested deeper than 32 levels"),
        ('{"update": ' + "1" * 5_000 + "}", "an integer of 5,000 digits"),
        ('{"update": "\\u0000"}', "holds a NUL"),
        ('{"update": "\\ud800"}', "half of a surrogate pair"),
        (" " * 9_000_000, "it has 9.00 MB; more than 8.00 MB are not read"),
        ('{"format": "compacter-run-state", "version": 1}', "manifest_sha256"),
    ],
    ids=[
        "empty",
        "list",
        "null",
        "object",
        "nested",
        "integer",
        "nul",
        "surrogate",
        "size",
        "bare",
    ],
)
def test_a_hostile_manifest_is_passed_over(two, text, reason):
    (place_of(two) / MANIFEST).write_text(text)
    assert found_at(two) == 1
    assert reason in newest(two).damaged["00000002"]


def resigned(directory, **changes):
    """Change the manifest of a state, and vouch for it again."""
    path = place_of(directory) / MANIFEST
    manifest = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({**manifest, "manifest_sha256": hash_of(manifest)}))


def test_a_manifest_is_held_against_its_own_hash(two):
    path = place_of(two) / MANIFEST
    path.write_text(path.read_text().replace('"at": 2', '"at": 3'))
    assert newest(two).damaged == {"00000002": f"{MANIFEST} is not as it was written"}
    path.write_text(json.dumps(json.loads(path.read_text().replace('"at": 3', '"at": 2'))))
    assert found_at(two) == 2  # another layout of the same


@pytest.mark.parametrize(
    "changes",
    [{"update": "2"}, {"update": -1}, {"update": 2.0}, {"update": True}, {"record": []},
     {"record": None}, {"files": {}}, {"files": []}, {"files": {WEIGHTS: "x", OPTIMIZER: "y"}},
     {"format": "compacter-adapter"}],
)  # fmt: skip
def test_a_manifest_of_other_kinds_is_damage_though_it_is_vouched_for(two, changes):
    resigned(two, **changes)
    assert found_at(two) == 1


@pytest.mark.parametrize("version", [0, 2, "1", None, [[]]])
def test_another_format_version_is_an_error_that_names_what_wrote_it(two, version):
    resigned(two, version=version, created_by="compacter 9.9\x1b")
    with pytest.raises(CompacterError, match="has format version") as caught:
        newest(two)
    assert caught.value.hint == "go on with the version that wrote it: compacter 9.9\\x1b"


def vouched(directory, name, data):
    """Put other bytes in the place of a file of a state, and vouch for them."""
    import hashlib

    path = place_of(directory)
    (path / name).write_bytes(data)
    described = json.loads((path / MANIFEST).read_text())["files"]
    described[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    resigned(directory, files=described)


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.tensor([float("nan")]), "holds NaN or infinity in weight/a"),
        (torch.tensor([1.0, -float("inf")]), "holds NaN or infinity in weight/a"),
        (torch.ones(1).half(), "holds weight/a as float16, expected float32"),
        (torch.ones(1).long(), "holds weight/a as int64, expected float32"),
    ],
)
@pytest.mark.parametrize("name", [WEIGHTS, OPTIMIZER])
def test_tensors_that_cannot_be_a_state_s_are_damage(two, name, tensor, reason):
    import safetensors.torch

    vouched(two, name, safetensors.torch.save({"weight/a": tensor}))
    assert newest(two).damaged == {"00000002": f"{name} {reason}"}
    assert found_at(two) == 1


@pytest.mark.parametrize("data", [b"", b"pickle", b"\xff" * 100], ids=["empty", "short", "huge"])
def test_what_is_no_safetensors_file_is_damage(two, data):
    vouched(two, WEIGHTS, data)
    assert f"{WEIGHTS} is no safetensors file" in newest(two).damaged["00000002"]


def test_a_file_larger_than_any_state_s_is_not_read(two, monkeypatch):
    monkeypatch.setitem(checkpoints.LIMITS, OPTIMIZER, 100)
    assert "more than 100 bytes are not read" in newest(two).damaged["00000002"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", FILES)
def test_a_link_out_of_the_state_or_a_pipe_is_not_read(two, name):
    path = place_of(two) / name
    path.rename(two / "elsewhere")
    path.symlink_to(two / "elsewhere")
    assert "it is a link to" in newest(two).damaged["00000002"]
    path.unlink()
    os.mkfifo(path)
    assert newest(two).damaged == {"00000002": "it is no file"}
    assert found_at(two) == 1


def test_a_file_in_the_place_of_a_state_or_of_all_is_passed_over(two):
    (two / "state" / "00000003").write_text("")
    assert newest(two).damaged == {"00000003": "Not a directory"}
    assert found_at(two) == 2
    remove_states(two)
    (two / "state").write_text("")
    assert newest(two) == checkpoints.Found(None, {})

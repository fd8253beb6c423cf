"""The saved state: it comes back as it was, whole or not at all."""

import json
import os

import pytest
import torch

from compacter_cli import files as durable
from compacter_cli.errors import CompacterError
from compacter_cli.pretraining.state import Progress, load_state, remove_state, save_state

TENSORS = {"weight/a": torch.arange(6.0).reshape(2, 3).T, "exp_avg/a": torch.ones(3, 2)}


def progress(step=3):
    return Progress(step, 7.5, 6.25, 1.5, "abc")


@pytest.fixture
def saved(tmp_path):
    save_state(tmp_path, progress(), TENSORS, b"pieces")
    return tmp_path


def test_a_state_comes_back_as_it_was(saved):
    found, tensors, proto = load_state(saved)
    assert (found, proto) == (progress(), b"pieces")
    assert set(tensors) == set(TENSORS)
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_a_start_without_losses_comes_back(tmp_path):
    save_state(tmp_path, Progress(0, None, None, 0.0, "abc"), TENSORS, b"pieces")
    assert load_state(tmp_path)[0] == Progress(0, None, None, 0.0, "abc")


def test_the_next_takes_its_place_and_nothing_else_is_left(saved):
    save_state(saved, progress(step=4), TENSORS, b"pieces")
    assert load_state(saved)[0].step == 4
    assert [path.name for path in saved.iterdir()] == ["state"]
    assert sorted(path.name for path in (saved / "state").iterdir()) == [
        "state.json",
        "state.safetensors",
        "vocabulary.spm",
    ]


def test_a_save_that_fails_leaves_the_one_before(saved, monkeypatch):
    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(durable, "write_durably", full)
    with pytest.raises(CompacterError, match="No space left") as caught:
        save_state(saved, progress(step=4), TENSORS, b"pieces")
    assert "--resume" in caught.value.hint
    assert load_state(saved)[0].step == 3
    assert [path.name for path in saved.iterdir()] == ["state"]


def test_a_process_that_died_between_two_renames_left_the_one_before(saved):
    (saved / "state").rename(saved / "state.previous")
    (saved / "state.new-123").mkdir()
    assert load_state(saved)[0].step == 3
    save_state(saved, progress(step=4), TENSORS, b"pieces")
    assert load_state(saved)[0].step == 4


@pytest.mark.parametrize("name", ["state.safetensors", "vocabulary.spm"])
def test_a_byte_that_changed_is_noticed(saved, name):
    path = saved / "state" / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CompacterError, match=f"damaged: the hash of {name}"):
        load_state(saved)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"step": 3, "sha256": {}}', "null"])
def test_a_damaged_manifest_is_one_line(saved, text):
    (saved / "state" / "state.json").write_text(text)
    with pytest.raises(CompacterError, match="is damaged") as caught:
        load_state(saved)
    assert "--overwrite" in caught.value.hint


def test_an_unknown_key_is_damage(saved):
    path = saved / "state" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": 1}))
    with pytest.raises(CompacterError, match="is damaged"):
        load_state(saved)


@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "vocabulary.spm"])
def test_a_missing_file_is_damage(saved, name):
    (saved / "state" / name).unlink()
    with pytest.raises(CompacterError, match=name):
        load_state(saved)


def test_removing_takes_the_state_and_all_leftovers_and_nothing_else(saved):
    for name in ("state.previous", "state.new-1", "preset.new-2"):
        (saved / name).mkdir()
    for name in ("pretraining.json.new-3", "recipe.toml"):
        (saved / name).write_text("")
    remove_state(saved)
    assert [path.name for path in saved.iterdir()] == ["recipe.toml"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 5_000 + "]" * 5_000, "nested deeper than 32 levels"),
        ('{"step": ' + "1" * 5_000 + "}", "an integer of 5,000 digits"),
        ('{"step": "\\ud800"}', "half of a surrogate pair"),
        (" " * 9_000_000, "it has 9.00 MB; more than 8.00 MB are not read"),
    ],
    ids=["nested", "integer", "surrogate", "size"],
)
def test_a_hostile_manifest_is_one_line(saved, text, reason):
    (saved / "state" / "state.json").write_text(text)
    with pytest.raises(CompacterError, match=f"is damaged: .*{reason}"):
        load_state(saved)


def resign(saved, **changes):
    path = saved / "state" / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("key", "value"),
    [("step", "3"), ("step", -1), ("step", 3.5), ("loss", "low"), ("seconds", None)],
)
def test_a_value_of_another_kind_is_damage(saved, key, value):
    resign(saved, **{key: value})
    with pytest.raises(CompacterError, match=f"is damaged: {key} is "):
        load_state(saved)


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.tensor([float("nan")]), "holds NaN or infinity in weight/a"),
        (torch.ones(1).half(), "holds weight/a as float16, expected float32"),
    ],
)
def test_weights_that_cannot_be_a_state_s_are_damage(tmp_path, tensor, reason):
    save_state(tmp_path, progress(), {"weight/a": tensor}, b"pieces")
    with pytest.raises(CompacterError, match=f"is damaged: state.safetensors {reason}"):
        load_state(tmp_path)


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["state.safetensors", "state.json", "vocabulary.spm"])
def test_a_pipe_or_a_link_in_place_of_a_file_is_damage(saved, tmp_path, name):
    path = saved / "state" / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CompacterError, match="it is a link to"):
        load_state(saved)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(CompacterError, match="it is no file"):
        load_state(saved)

"""Saved states that a disk has damaged: noticed, said, and gone on from the one before."""

import random
import shutil

import pytest

from compacter_cli.training.checkpoints import newest

FILES = ("weights.safetensors", "optimizer.safetensors", "manifest.json")


def flip(path, bit):
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


DAMAGES = {
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": lambda path: flip(path, 8 * (path.stat().st_size - 9)),
    "empty": lambda path: path.write_bytes(b""),
    "missing": lambda path: path.unlink(),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b" x"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", FILES)
def test_a_damaged_state_is_passed_over(unfinished, file, damage):
    assert newest(unfinished).checkpoint.state.update == 5
    DAMAGES[damage](unfinished / "state" / "00000005" / file)
    found = newest(unfinished)
    assert found.checkpoint.state.update == 4
    assert list(found.damaged) == ["00000005"]


def test_no_flipped_bit_is_taken_for_another_state(unfinished):
    draw = random.Random(0)
    for number in range(150):
        path = unfinished / "state" / "00000005" / FILES[number % 3]
        bit = draw.randrange(8 * path.stat().st_size)
        flip(path, bit)
        assert newest(unfinished).checkpoint.state.update == 4, (path.name, bit)
        flip(path, bit)
    assert newest(unfinished).checkpoint.state.update == 5


@pytest.mark.parametrize(
    ("file", "damage"),
    [("weights.safetensors", "flipped"), ("optimizer.safetensors", "missing"),
     ("manifest.json", "empty")],
)  # fmt: skip
def test_a_run_goes_on_from_the_state_before_and_says_so_or_fails_if_strict(
    train, whole, bits, unfinished, file, damage
):
    DAMAGES[damage](unfinished / "state" / "00000005" / file)
    said = train(unfinished, "--resume", "--strict").ended(1)
    assert f"saved states of {unfinished} are damaged: 00000005: " in said
    assert "leave --strict out to go on from the one before" in said
    assert (unfinished / "state" / "00000005").is_dir()
    said = train(unfinished, "--resume").ended(0)
    assert "the saved state 00000005 is damaged and left out: " in said
    assert "going on after update 4 of 6" in said
    assert bits(unfinished) == whole()


def test_strictly_a_whole_state_is_gone_on_from(train, whole, bits, unfinished):
    train(unfinished, "--resume", "--strict").ended(0)
    assert bits(unfinished) == whole()


@pytest.mark.parametrize("strict", [(), ("--strict",)])
def test_where_all_are_damaged_it_fails_with_every_reason_and_touches_nothing(
    train, unfinished, strict
):
    flip(unfinished / "state" / "00000005" / "weights.safetensors", 80_000 // 2)
    (unfinished / "state" / "00000004" / "optimizer.safetensors").unlink()
    said = train(unfinished, "--resume", *strict).ended(1)
    assert "00000005: the hash of weights.safetensors is not the one written down" in said
    assert "00000004: No such file or directory" in said
    assert "begin again with --overwrite" in said
    assert (unfinished / "last" / "adapter.safetensors").is_file()
    assert len(list((unfinished / "state").iterdir())) == 2


def test_a_best_adapter_that_is_damaged_is_told_before_hours_of_training(train, unfinished):
    flip(unfinished / "best" / "adapter.safetensors", 40_000)
    said = train(unfinished, "--resume").ended(1)
    assert str(unfinished / "best" / "adapter.safetensors") in said
    assert (unfinished / "state" / "00000005").is_dir()


def test_leftovers_of_a_killed_save_are_ignored_and_swept(train, whole, bits, unfinished):
    states = unfinished / "state"
    shutil.copytree(states / "00000005", states / "00000006.new-99999")
    (states / "00000006.new-99999" / "manifest.json").unlink()
    (unfinished / "result.json.new-99999").write_text("{")
    shutil.copytree(unfinished / "last", unfinished / "best.new-99999")
    shutil.copytree(unfinished / "last", unfinished / "last.previous")
    assert newest(unfinished).checkpoint.state.update == 5
    train(unfinished, "--resume", "--strict").ended(0)
    assert bits(unfinished) == whole()


def test_what_somebody_else_put_into_a_run_stays(train, unfinished):
    (unfinished / "notes.new-draft").write_text("mine")
    train(unfinished, "--resume").ended(0)
    assert (unfinished / "notes.new-draft").read_text() == "mine"

"""What `train --resume` finds in a directory, and what it says and does about it."""

import json
import os
import shutil

import pytest

from compacter_cli.training.checkpoints import newest


def contents(directory):
    """Every file below a directory, with its bytes and the time of its last change."""
    named = [p for p in directory.rglob("*") if p.is_file() and p.name != ".lock"]
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in named}


def test_where_nothing_is_it_begins(train, whole, bits, tmp_path):
    assert "writing to" in train(tmp_path / "run", "--resume").ended(0)
    assert bits(tmp_path / "run") == whole()


def test_an_unfinished_run_goes_on_and_says_from_where(train, whole, bits, unfinished):
    said = train(unfinished, "--resume").ended(0)
    assert "going on after update 5 of 6" in said
    assert "step 5/6" not in said
    assert bits(unfinished) == whole()
    noted = json.loads((unfinished / "environment.json").read_text())
    assert noted["resumed"] == [5]


def test_a_finished_run_has_nothing_to_go_on_with(train, whole, tmp_path):
    train(tmp_path / "run").ended(0)
    before = contents(tmp_path / "run")
    again = train(tmp_path / "run", "--resume", "--json")
    assert f"{tmp_path / 'run'} is finished: there is nothing to go on with" in again.ended(0)
    assert json.loads(again.printed) == json.loads((tmp_path / "run" / "result.json").read_text())
    assert contents(tmp_path / "run") == before


def test_a_run_that_is_there_is_neither_replaced_nor_gone_on_with_unasked(train, unfinished):
    before = contents(unfinished)
    said = train(unfinished).ended(2)
    assert "holds a run already (unfinished)" in said
    assert "give --resume to go on with it" in said
    assert "give one of them" in train(unfinished, "--resume", "--overwrite").ended(2)
    assert contents(unfinished) == before


@pytest.mark.parametrize(
    ("sets", "named"),
    [
        (("train.learning_rate=0.5",), ["train.learning_rate (0.01 there, 0.5 here)"]),
        (("train.epochs=3", "seed=1"), ["seed (42 there, 1", "train.epochs (2 there, 3"]),
        (("method.bottleneck=12",), ["method.bottleneck (24 there, 12 here)"]),
        (("train.accumulate=1",), ["train.accumulate (2 there, 1 here)"]),
        (("data.max_train_samples=16",), ["data.max_train_samples (24 there, 16 here)"]),
    ],
)  # fmt: skip
def test_another_recipe_is_refused_by_all_keys_that_differ(train, unfinished, sets, named):
    before = contents(unfinished)
    said = train(unfinished, "--resume", sets=sets).ended(2)
    assert "was begun with another recipe" in said
    for key in named:
        assert key in said
    assert "loading torch" not in said
    assert contents(unfinished) == before


def test_a_recipe_that_a_loss_of_power_emptied_is_known_from_the_state(
    train, whole, bits, unfinished
):
    (unfinished / "recipe.toml").write_text("")
    said = train(unfinished, "--resume", sets=("train.learning_rate=0.5",)).ended(2)
    assert "train.learning_rate (0.01 there, 0.5 here)" in said


def test_what_changes_no_result_may_differ(train, whole, bits, unfinished):
    sets = ("train.save_every=2", "train.save_minutes=1.0", "output.without_metrics=stop")
    train(unfinished, "--resume", sets=sets).ended(0)
    expected, found = whole(), bits(unfinished)
    for name in ("best/adapter.safetensors", "last/adapter.safetensors", "metrics.jsonl"):
        assert found[name] == expected[name]


OTHER_ROWS = """
task = import_module("compacter_cli.tasks.smoke").SmokeTask
real = task.generate
def generate(self):
    rows = real(self)
    rows["train"][0]["sentence"] += " iron"
    return rows
task.generate = generate
"""
OTHER_BACKBONE = """
made = import_module("compacter_cli.t5.random_backbone").tiny_backbone()
made.weights[0].assign(2 * made.weights[0])
"""


@pytest.mark.parametrize(("fault", "what"), [(OTHER_ROWS, "rows"), (OTHER_BACKBONE, "backbone")])
def test_other_rows_and_another_backbone_are_refused_with_both_fingerprints(
    train, whole, bits, unfinished, fault, what
):
    before, sets = contents(unfinished), ("data.max_train_samples=600", "train.epochs=1")
    if what == "rows":  # all of them, so that the changed one is among them
        shutil.rmtree(unfinished)
        train(unfinished, sets=sets, before="at_step(3, lambda *_: die())").wait()
        before = contents(unfinished)
    said = train(unfinished, "--resume", before=fault, sets=sets if what == "rows" else ()).ended(2)
    assert f"was begun with other {what}: the fingerprint is " in said
    assert contents(unfinished) == before


def change_manifest(directory, **values):
    """Write other values into the manifest of the newest state, signed anew."""
    from compacter_cli.adapters.manifest import hash_of

    path = sorted((directory / "state").iterdir())[-1] / "manifest.json"
    manifest = {**json.loads(path.read_text()), **values}
    manifest.pop("manifest_sha256")
    path.write_text(json.dumps({**manifest, "manifest_sha256": hash_of(manifest)}))


def test_a_later_format_is_refused_with_both_versions_and_its_writer(train, unfinished):
    change_manifest(unfinished, version=2, created_by="compacter 7.0")
    before = contents(unfinished)
    said = train(unfinished, "--resume").ended(1)
    assert "has format version 2, this compacter reads 1" in said
    assert "compacter 7.0" in said
    assert contents(unfinished) == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("import_module('compacter_cli').__version__ = '9.9'", "compacter was 0.2.0 and is 9.9: "),
        ("import_module('torch').set_num_threads(2)", "threads was 1 and is 2: "),
    ],
)
def test_another_version_or_machine_is_said_and_goes_on(train, whole, unfinished, changed, said):
    assert said in train(unfinished, "--resume", before=changed).ended(0)
    before = whole()["last/adapter.safetensors"]
    assert len((unfinished / "last" / "adapter.safetensors").read_bytes()) == len(before)


def test_a_run_in_use_is_refused_by_every_command_that_would_write_it(
    train, start, whole, bits, tmp_path
):
    held = tmp_path / "held"
    run = train(tmp_path / "run", before=f"at_step(2, hold({str(held)!r}))")
    run.until_held(held)
    text = tmp_path / "text.txt"
    text.write_text("one line\nanother line\n")
    pretrain = ("pretrain", "--recipe", "demo/pretrain", "--set", f'text.files=["{text}"]')
    others = [
        train(tmp_path / "run", "--resume"),
        train(tmp_path / "run", "--overwrite"),
        train(tmp_path / "run"),
        start(*pretrain, "--output", tmp_path / "run"),
        start(*pretrain, "--output", tmp_path / "run", "--overwrite"),
        start(*pretrain, "--output", tmp_path / "run", "--resume"),
    ]
    for other in others:
        assert f"is being written by another process ({run.number})" in other.ended(2)
    held.unlink()
    run.ended(0)
    assert bits(tmp_path / "run") == whole()


def test_of_two_that_go_on_at_once_one_does(train, whole, bits, unfinished, tmp_path):
    held = tmp_path / "held"
    before = f"at_step(1, hold({str(held)!r}))"
    both = [train(unfinished, "--resume", before=before) for _ in range(2)]
    both[0].until_held(held)
    both[0].until(lambda: any("is being written by another" in command.said for command in both))
    held.unlink()
    assert sorted(command.wait().code for command in both) == [0, 2]
    assert all("Traceback" not in command.said for command in both)
    assert bits(unfinished) == whole()


@pytest.mark.parametrize("holder", [os.getpid(), 2**22 + 1], ids=["alive", "nobody"])
def test_a_lock_that_nobody_holds_is_taken_whoever_it_names(train, whole, bits, unfinished, holder):
    (unfinished / ".lock").write_text(f"{holder}\n")
    train(unfinished, "--resume").ended(0)
    assert bits(unfinished) == whole()
    assert not (unfinished / ".lock").exists()


def test_a_copy_elsewhere_goes_on_as_the_run_itself_does(train, whole, bits, unfinished, tmp_path):
    copy = shutil.copytree(unfinished, tmp_path / "else" / "where")
    train(copy, "--resume").ended(0)
    train(unfinished, "--resume").ended(0)
    assert bits(copy) == bits(unfinished) == whole()


def test_a_run_that_is_killed_again_where_it_was_killed_comes_no_less_far(
    train, whole, bits, unfinished
):
    for _ in range(3):
        train(unfinished, "--resume", before="at_step(1, lambda *_: die())").wait()
        assert newest(unfinished).checkpoint.state.update == 5
    train(unfinished, "--resume").ended(0)
    assert bits(unfinished) == whole()


def test_a_damaged_result_is_written_again_from_the_states_or_nothing_is_touched(
    train, whole, bits, unfinished, tmp_path
):
    (unfinished / "result.json").write_text("")
    train(unfinished, "--resume").ended(0)
    assert bits(unfinished) == whole()
    (unfinished / "result.json").write_text("")  # now without states
    before = contents(unfinished)
    said = train(unfinished, "--resume").ended(1)
    assert "was finished, but its result.json is damaged" in said
    assert contents(unfinished) == before


def test_a_run_that_was_killed_at_its_very_beginning_begins_again(train, whole, bits, tmp_path):
    at = "at_call('compacter_cli.training.run_directory', 'write_json', 1, lambda *_: die())"
    train(tmp_path / "run", before=at).wait()
    assert {path.name for path in (tmp_path / "run").iterdir()} == {".lock", "recipe.toml"}
    said = train(tmp_path / "run", "--resume").ended(0)
    assert "nothing was saved yet: the run begins again" in said
    assert bits(tmp_path / "run") == whole()


def test_a_state_that_is_there_is_not_written_again(train, whole, bits, tmp_path):
    # Killed with the third update saved, and its epoch not yet scored; then stopped in scoring it.
    scoring = "at_call('compacter_cli.training.loop', 'evaluate', 1, {})"
    train(tmp_path / "run", before=scoring.format("lambda *_: die()")).wait()
    before = contents(tmp_path / "run" / "state")
    train(tmp_path / "run", "--resume", before=scoring.format("send(signal.SIGTERM)")).ended(143)
    assert contents(tmp_path / "run" / "state") == before
    train(tmp_path / "run", "--resume").ended(0)
    assert bits(tmp_path / "run") == whole()


# Links.


def test_a_run_behind_a_link_goes_on_and_the_link_stays(train, whole, bits, unfinished, tmp_path):
    (tmp_path / "link").symlink_to(unfinished)
    train(tmp_path / "link", "--resume").ended(0)
    assert (tmp_path / "link").is_symlink()
    assert bits(unfinished) == whole()


@pytest.mark.parametrize(
    ("options", "name"),
    [("--overwrite", "state"), ("--resume", "state"), ("--resume", "best"),
     ("--resume", "metrics.jsonl"), ("--resume", "environment.json")],
)  # fmt: skip
def test_nothing_is_written_where_a_link_of_a_run_leads(train, unfinished, tmp_path, name, options):
    outside = tmp_path / "outside" / name
    outside.parent.mkdir()
    (unfinished / name).rename(outside)
    (unfinished / name).symlink_to(outside)
    named = [outside] if outside.is_file() else sorted(p for p in outside.rglob("*") if p.is_file())
    before = {path: path.read_bytes() for path in named}
    ended = train(unfinished, options).wait()
    assert "Traceback" not in ended.said
    assert {path: path.read_bytes() for path in before if path.exists()} == before


def test_a_state_whose_file_is_a_link_to_elsewhere_is_damaged(unfinished, tmp_path):
    weights = unfinished / "state" / "00000005" / "weights.safetensors"
    weights.rename(tmp_path / "elsewhere")
    weights.symlink_to(tmp_path / "elsewhere")
    found = newest(unfinished)
    assert found.checkpoint.state.update == 4
    assert "outside of its directory" in found.damaged["00000005"]

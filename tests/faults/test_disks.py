"""Disks that are full, refuse or vanish while a command trains: said, and nothing is lost."""

import os
import re
import shutil
import subprocess

import pytest

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.data.sources import find_rows
from compacter_cli.recipe.sections import DataSection
from compacter_cli.tasks import TASKS
from compacter_cli.training.checkpoints import newest

# Full from the first file of the fourth update's state on, of its epoch's adapters, and so on.
AT_STATE = "at_step(4, lambda *_: at_call(files, 'write_durably', 1, full))"
AT_LAST = "at_step(3, lambda *_: at_call(files, 'write_durably', 4, full))"
AT_BEST = "at_step(3, lambda *_: at_call(files, 'write_durably', 6, full))"
AT_METRICS = "at_step(1, full)"
AT_PREDICTIONS = "at_call('compacter_cli.training.scoring', 'evaluate', 1, full)"  # the test
AT_RESULT = (
    "at_call('compacter_cli.training.predictions', 'write_predictions', 1, full, after=True)"
)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of four megabytes, and the fault that fills it."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small file system can be mounted by root alone")
    yield place, FILL.format(ballast=str(place / "ballast"))
    subprocess.run(["umount", "--lazy", str(place)], check=True)


FILL = """
def full(*_args, **_options):
    with open({ballast!r}, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
"""
LIMIT = """
def full(*_args, **_options):
    limit_files(100)
"""


@pytest.fixture(params=["limit", pytest.param("disk", marks=pytest.mark.slow)])
def fills(request, tmp_path):
    """`(a folder, the fault, what makes room again, what the system says)`."""
    if request.param == "limit":  # for this process alone: the next has room
        return tmp_path, LIMIT, lambda: None, "File too large"
    place, fault = request.getfixturevalue("small_disk")
    return place, fault, (place / "ballast").unlink, "No space left on device"


def leftovers(directory):
    return [str(p) for p in directory.rglob("*") if ".new-" in p.name or ".previous" in p.name]


@pytest.mark.parametrize(
    ("at", "what", "update"),
    [(AT_STATE, "cannot save the state to ", 3), (AT_LAST, "cannot write the adapter to ", 3),
     (AT_BEST, "cannot write the adapter to ", 3)],
)  # fmt: skip
def test_a_full_disk_says_what_was_needed_and_keeps_what_was_saved(
    train, whole, bits, fills, at, what, update
):
    place, full, make_room, reason = fills
    run = place / "run"
    said = train(run, before=full + at).ended(1)
    assert what in said
    assert re.search(reason + r"; [\d.]+ (kB|bytes) were needed, [\d.]+ \w+ are free", said)
    assert "free some space" in said
    assert leftovers(run) == []
    found = newest(run)
    assert (found.checkpoint.state.update, found.damaged) == (update, {})
    make_room()
    train(run, "--resume").ended(0)
    assert bits(run) == whole()


def test_a_full_disk_tells_the_command_that_goes_on(train, go_on, whole, bits, tmp_path):
    said = train(tmp_path / "run", before=LIMIT + AT_STATE).ended(1)
    go_on(said).ended(0)
    assert bits(tmp_path / "run") == whole()


def test_metrics_that_cannot_be_written_are_told_once_and_the_training_goes_on(
    train, whole, bits, tmp_path
):
    fault = (
        "at_step(4, lambda *_: at_call('compacter_cli.training.metrics_file', 'append_json', 1, "
    )
    fault += "lambda path, _: (_ for _ in ()).throw(files.CompacterError(f'cannot write {path}'))))"
    said = train(tmp_path / "run", before=fault).ended(0)
    assert said.count("the run goes on without metrics.jsonl") == 1
    found, expected = bits(tmp_path / "run"), whole()
    assert expected["metrics.jsonl"].startswith(found.pop("metrics.jsonl"))
    assert found.items() <= expected.items()


@pytest.mark.parametrize("choice", ["continue", "stop"])
def test_a_full_disk_at_the_metrics_does_what_the_recipe_says(train, whole, bits, fills, choice):
    place, full, make_room, reason = fills
    sets = (f"output.without_metrics={choice}", "train.save_every=100")
    said = train(place / "run", before=full + AT_METRICS, sets=sets).ended(1)
    assert f"cannot write {place / 'run' / 'metrics.jsonl'}: {reason}" in said
    goes_on = "the run goes on without metrics.jsonl" in said
    assert goes_on == (choice == "continue")  # to the adapter, for which there is no room either
    assert ("cannot write the adapter" in said) == goes_on
    make_room()
    train(place / "run", "--resume", sets=sets).ended(0)
    assert bits(place / "run") == whole(*sets)


@pytest.mark.parametrize(
    ("at", "name"), [(AT_PREDICTIONS, "predictions.jsonl"), (AT_RESULT, "result.json")]
)
def test_a_result_that_cannot_be_written_is_written_by_the_next_try(
    train, whole, bits, fills, at, name
):
    place, full, make_room, reason = fills
    said = train(place / "run", before=full + at).ended(1)
    assert f"cannot write {place / 'run' / name}: {reason}" in said
    assert not (place / "run" / "result.json").exists()
    assert "what was saved before is whole" in said
    make_room()
    assert "going on after update 6 of 6" in train(place / "run", "--resume").ended(0)
    assert bits(place / "run") == whole()


@pytest.mark.parametrize("at", ["environment", "resumed"])
def test_a_start_that_cannot_be_written_down_is_an_error_of_one_line(
    train, whole, bits, fills, unfinished, at
):
    place, full, make_room, reason = fills
    run, options = place / "new", []
    if at == "resumed":
        run, options = shutil.copytree(unfinished, place / "copy"), ["--resume"]
    before = full + "at_call('compacter_cli.training.session', 'environment', 1, full)"
    run_of = train(run, *options, before=before).wait()
    assert run_of.code in (1, 2)  # the latter where not even the directory could be taken
    assert re.search(f"error: cannot write (to )?{run}(/[a-z.]*)?: {reason}", run_of.said)
    assert "Traceback" not in run_of.said
    assert leftovers(run) == []
    make_room()
    train(run, "--resume").ended(0)
    assert bits(run) == whole()


@pytest.mark.parametrize(
    ("code", "at"), [("EACCES", AT_STATE), ("EROFS", AT_LAST), ("EIO", AT_STATE)]
)
def test_a_save_that_is_refused_never_counts_as_saved(train, whole, bits, tmp_path, code, at):
    full = f"full = refuse(errno.{code})\n"
    said = train(tmp_path / "run", before=full + at).ended(1)
    assert ("free some space" in said) == (code == "EIO")
    assert newest(tmp_path / "run").checkpoint.state.update == 3
    assert leftovers(tmp_path / "run") == []
    train(tmp_path / "run", "--resume").ended(0)
    assert bits(tmp_path / "run") == whole()


# Before the first update.

FREE = "import_module('compacter_cli.training.space').free_bytes = lambda _: {free}"


@pytest.mark.slow
def test_a_disk_without_room_for_one_save_is_told_before_the_first_update(train, tmp_path):
    # By hand: 1,888 weights and two moments of each, of four bytes, and 100 kB beside them.
    needed = 3 * 4 * 1_888 + 100_000
    said = train(tmp_path / "run", before=FREE.format(free=needed - 1)).ended(1)
    assert "a save takes 122.66 kB, 122.66 kB are free" in said
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
    train(tmp_path / "other", before=FREE.format(free=needed)).ended(0)


def test_a_disk_that_may_become_full_is_told_and_tried(train, tmp_path):
    said = train(tmp_path / "run", before=FREE.format(free=400_000)).ended(0)
    assert "space is short: the run may take " in said
    assert "400.00 kB are free" in said
    assert "space is short" not in train(tmp_path / "other").ended(0)


def test_a_run_is_not_replaced_where_there_is_no_room_for_another(train, bits, whole, tmp_path):
    train(tmp_path / "run").ended(0)
    train(tmp_path / "run", "--overwrite", before=FREE.format(free=1)).ended(1)
    assert bits(tmp_path / "run") == whole()


# The directory goes away.

REMOVED = "was removed, or replaced, while it was written to"
HELD = "at_step(2, hold('{}'))"  # with the first update saved


def test_a_directory_that_is_removed_ends_the_training_at_its_next_update(train, tmp_path):
    sets = ("train.save_every=100", "train.epochs=1", "data.max_train_samples=48")
    run = train(tmp_path / "run", before=HELD.format(tmp_path / "held"), sets=sets)
    run.until_held(tmp_path / "held")
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "held").unlink()
    said = run.ended(1)
    assert f"{tmp_path / 'run'} {REMOVED}" in said
    assert not re.search("step [3456]/6", said)  # nor "the run goes on without metrics.jsonl"
    assert not (tmp_path / "run").exists()


def test_nothing_is_written_into_a_directory_that_took_its_place(train, tmp_path):
    run = train(tmp_path / "run", before=HELD.format(tmp_path / "held"))
    run.until_held(tmp_path / "held")
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "run").mkdir()
    (tmp_path / "held").unlink()
    assert REMOVED in run.ended(1)
    assert list((tmp_path / "run").iterdir()) == []
    assert newest(tmp_path / "moved").checkpoint.state.update == 1


def test_a_run_that_was_moved_away_goes_on_where_it_is_now(train, whole, bits, tmp_path):
    run = train(tmp_path / "run", before=HELD.format(tmp_path / "held"))
    run.until_held(tmp_path / "held")
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "held").unlink()
    assert REMOVED in run.ended(1)
    train(tmp_path / "moved", "--resume").ended(0)
    assert bits(tmp_path / "moved") == whole()


@pytest.mark.parametrize("name", ["state", "best", "last", "metrics.jsonl"])
def test_what_is_removed_from_a_running_directory_is_made_again_or_missed(
    train, whole, bits, tmp_path, name
):
    removing = f"lambda *_: os.system('rm -r {tmp_path / 'run' / name}') or None"
    at = "at_step(4, {})"
    if name == "best":  # behind the last epoch, which ties and writes it again
        at = "at_call(import_module('compacter_cli.training.session').Session, 'finish', 1, {})"
    run = train(tmp_path / "run", before=at.format(removing)).wait()
    assert "Traceback" not in run.said
    load_adapter(tmp_path / "run" / "last")
    if name == "best":  # it cannot be made again
        assert run.code == 1
        assert f"{tmp_path / 'run' / 'best'}: adapter.json is missing" in run.said
    else:
        assert run.code == 0
        load_adapter(tmp_path / "run" / "best")


def test_the_mode_of_what_is_written_follows_the_umask(train, tmp_path):
    train(tmp_path / "run", before="os.umask(0o027); at_step(6, lambda *_: die())").wait()
    files = [p for p in (tmp_path / "run").rglob("*") if p.is_file()]
    assert len(files) > 10
    assert {p.stat().st_mode & 0o777 for p in files} == {0o640}
    assert os.stat(tmp_path / "run" / "state").st_mode & 0o777 == 0o750


def test_a_disk_that_is_read_only_is_told_before_anything_is_loaded(train, small_disk, unfinished):
    place, _ = small_disk
    run = shutil.copytree(unfinished, place / "run")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    for output, options in ((place / "new", []), (run, ["--resume"]), (run, ["--overwrite"])):
        said = train(output, *options).ended(2)
        assert f"cannot write to {output}: Read-only file system" in said
        assert "loading torch" not in said


def test_prepared_data_on_a_disk_that_is_read_only_is_read(small_disk, array_record):
    place, _ = small_disk
    copy = shutil.copytree(array_record, place / "data")
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    section = DataSection(data_dir=str(copy))
    rows = find_rows(TASKS["glue/rte"], section, offline=True).load().splits
    assert {name: len(split) for name, split in rows.items()} == {"train": 2490, "validation": 277}

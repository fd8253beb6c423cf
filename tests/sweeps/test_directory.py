"""The directory of a sweep: begun, changed, damaged; its index follows what is there."""

import json
import shutil

import pytest

from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.sweeps import directory as places
from compacter_cli.sweeps.expansion import expand
from compacter_cli.sweeps.failures import forget_failure, write_failure
from compacter_cli.sweeps.sections import Arm, Sweep


def tiny(**changes):
    return Sweep(
        **{
            "name": "tiny",
            "title": "Tiny",
            "tasks": ["demo/smoke"],
            "seeds": [1, 2],
            "arms": [Arm(name="one", recipe="demo/smoke_compacterpp")],
            **changes,
        }
    )


@pytest.fixture
def begun(tmp_path):
    """The directory of a sweep of two runs that were not begun."""
    place = tmp_path / "sweep"
    places.begin(place, tiny(), expand(tiny()).runs).release()
    return place


@pytest.fixture
def finished(begun, smoke_run):
    """The same with one run finished: the finished run of another recipe stands in."""
    first = places.read_sweep(begun).lines[0]["run"]
    shutil.copytree(smoke_run, begun / first)
    change_result(begun / first, seed=1)
    return begun


def change_result(run, **changes):
    path = run / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def states(place):
    return [line["state"] for line in places.read_sweep(place).lines]


def test_a_sweep_begins_with_all_its_runs_in_the_index(begun):
    lines = [json.loads(line) for line in (begun / "index.jsonl").read_text().splitlines()]
    assert [(line["seed"], line["state"]) for line in lines] == [(1, "waiting"), (2, "waiting")]
    assert {line["trained_parameters"] for line in lines} == {1_888}
    assert {line["train_rows"] for line in lines} == {600}
    assert places.read_sweep(begun).sweep == tiny()


def test_the_index_follows_what_is_there(finished, smoke_run):
    result = json.loads((smoke_run / "result.json").read_text())
    first, second = places.read_sweep(finished).lines
    assert (first["state"], second["state"]) == ("finished", "waiting")
    assert first["test"] == result["test"]["metrics"]
    assert first["validation_mean"] == result["validation"]["mean"]
    shutil.rmtree(finished / first["run"])
    assert states(finished) == ["waiting", "waiting"]
    assert "test" not in places.read_sweep(finished).lines[0]


def test_a_damaged_result_is_a_run_that_failed(finished):
    first = places.read_sweep(finished).lines[0]["run"]
    (finished / first / "result.json").write_text("{")
    line = places.read_sweep(finished).lines[0]
    assert line["state"] == "failed"
    assert "is damaged" in line["error"]


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"task": "glue/rte"}, {"method": "bitfit"}, {"trained_parameters": 3}]
)
def test_the_result_of_another_run_is_no_result(finished, change):
    change_result(finished / places.read_sweep(finished).lines[0]["run"], **change)
    line = places.read_sweep(finished).lines[0]
    assert line["state"] == "failed"
    assert f"it is another run: its {next(iter(change))} is" in line["error"]


def test_a_link_out_of_the_sweep_is_not_followed(begun, smoke_run):
    run = begun / places.read_sweep(begun).lines[0]["run"]
    run.parent.mkdir(parents=True)
    run.symlink_to(smoke_run)
    line = places.read_sweep(begun).lines[0]
    assert line["state"] == "failed"
    assert "outside of its directory" in line["error"]


def test_runs_of_the_sweep_as_it_was_are_counted(finished):
    assert places.count_apart(finished, {places.read_sweep(finished).lines[0]["run"]}) == 0
    assert places.count_apart(finished, set()) == 1


def test_a_failure_that_was_noted_is_in_the_index(begun):
    run = places.read_sweep(begun).lines[1]["run"]
    write_failure(begun, run, {"state": "failed", "error": "no luck"})
    assert places.read_sweep(begun).lines[1]["error"] == "no luck"
    forget_failure(begun, run)
    assert states(begun) == ["waiting", "waiting"]


def test_a_changed_sweep_adds_what_is_missing(finished):
    more = tiny(seeds=[1, 2, 3])
    places.begin(finished, more, expand(more).runs).release()
    assert states(finished) == ["finished", "waiting", "waiting"]


def test_another_sweep_is_refused(begun):
    with pytest.raises(UsageError, match="holds the sweep tiny, not other"):
        places.begin(begun, tiny(name="other"), [])


def test_what_is_no_sweep_is_refused(tmp_path, smoke_run):
    (tmp_path / "note.txt").write_text("mine")
    for place in (tmp_path, smoke_run):
        with pytest.raises(UsageError, match="exists and is not a sweep"):
            places.begin(place, tiny(), [])
    assert (tmp_path / "note.txt").read_text() == "mine"


def test_two_processes_do_not_write_one_sweep(begun):
    lock = places.begin(begun, tiny(), expand(tiny()).runs)
    try:
        with pytest.raises(UsageError, match="is being written by another process"):
            places.begin(begun, tiny(), expand(tiny()).runs)
    finally:
        lock.release()


def test_one_killed_as_it_began_is_begun_again(tmp_path):
    place = tmp_path / "sweep"
    place.mkdir()
    (place / "sweep.toml.new-123").write_text("nam")
    places.begin(place, tiny(), expand(tiny()).runs).release()
    assert states(place) == ["waiting", "waiting"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("index.jsonl", b"{", "is damaged"),
        ("index.jsonl", b"", "it is empty"),
        ("index.jsonl", b'{"task": 3}\n', "line 1 has no task, or another kind of one"),
        ("index.jsonl", b"[]\n", "line 1 is no object"),
        ("index.jsonl", None, "has lost its index.jsonl"),
        ("sweep.toml", b"name = 3", "is damaged"),
        ("sweep.toml", None, "has lost its sweep.toml"),
    ],
)
def test_damage_is_told_with_what_to_do(begun, name, data, said):
    (begun / name).unlink() if data is None else (begun / name).write_bytes(data)
    with pytest.raises(CompacterError, match=said) as caught:
        places.read_sweep(begun)
    assert caught.value.hint


@pytest.mark.parametrize("run", ["runs", "runs/../../x", "/etc", "best/x"])
def test_an_index_leads_nowhere_else(begun, run):
    path = begun / "index.jsonl"
    line = json.loads(path.read_text().splitlines()[0])
    path.write_text(json.dumps({**line, "run": run}) + "\n")
    with pytest.raises(CompacterError, match="line 1 names a run outside of runs/"):
        places.read_sweep(begun)


def test_what_is_no_sweep_is_not_read(tmp_path):
    with pytest.raises(UsageError, match="no sweep's directory"):
        places.read_sweep(tmp_path)

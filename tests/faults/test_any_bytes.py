"""Adapters and states whose bytes are anybody's: the same tensors, or an error of one line."""

import functools
import hashlib
import json
import os
import tempfile
from pathlib import Path

import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as draw

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.adapters.manifest import hash_of
from compacter_cli.errors import CompacterError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.training.checkpoints import MANIFEST, OPTIMIZER, WEIGHTS, newest, save
from compacter_cli.training.loop import Progress
from compacter_cli.training.run_state import changes as changes_of
from compacter_cli.training.run_state import check_record
from compacter_cli.training.trainer import State

ADAPTER = Path(__file__).parents[1] / "fixtures" / "bitfit_adapter"
NAMES = ("adapter.json", "adapter.safetensors")
LONGER = os.environ.get("COMPACTER_FUZZ_EXAMPLES")  # as many, and others each time

# Bytes put in the place of others: what JSON, safetensors and their numbers are made of, and any.
PIECES = draw.sampled_from(
    [b"[", b"{", b"}", b'"', b"-", b"9" * 30, b"1e999", b"NaN", b"null", b"\\ud800", b"\\u0000",
     b"[" * 3000, b"\0\0\xc0\x7f", b"\xff" * 8]
) | draw.binary(max_size=9)  # fmt: skip


def edits_of(names):
    one = draw.tuples(draw.sampled_from(names), draw.floats(0, 1), draw.integers(0, 20), PIECES)
    return draw.lists(one, min_size=1, max_size=4)


EDITS = edits_of(NAMES)
LIMITED = settings(
    max_examples=int(LONGER or 300), deadline=None, database=None, derandomize=not LONGER
)


def edited(edits, signed):
    """The two files by name with some bytes replaced, vouched for again where `signed`."""
    files = {name: bytearray((ADAPTER / name).read_bytes()) for name in NAMES}
    for name, share, removed, piece in edits:
        start = int(share * len(files[name]))
        files[name][start : start + removed] = piece
    if signed:
        files["adapter.json"] = resigned(files)
    return files


def resigned(files):
    try:
        manifest = json.loads(files["adapter.json"])
        manifest["sha256"] = hashlib.sha256(files["adapter.safetensors"]).hexdigest()
        manifest["bytes"] = len(files["adapter.safetensors"])
        manifest.pop("manifest_sha256", None)
        return json.dumps(manifest).encode()
    except (ValueError, TypeError, AttributeError, RecursionError):
        return files["adapter.json"]


def assert_one_line(told):
    assert told.isprintable(), told
    assert len(told) < 1_000


@LIMITED
@given(EDITS, draw.booleans())
def test_any_bytes_are_an_adapter_or_an_error_of_one_line(edits, signed):
    expected = load_adapter(ADAPTER).tensors
    with tempfile.TemporaryDirectory() as directory:
        for name, data in edited(edits, signed).items():
            (Path(directory) / name).write_bytes(data)
        try:
            found = load_adapter(directory).tensors
        except CompacterError as error:
            assert_one_line(f"{error} {error.hint or ''}")
            return
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in found.values())
    if not signed:
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


# States of a run.

STATES = ("state/00000001", "state/00000002e")
PARTS = (MANIFEST, WEIGHTS, OPTIMIZER)


def state_of(update):
    names = ("weight/a", "weight/b", "exp_avg/a", "step/a")
    return State(update, {name: torch.full((2, 3), float(update)) for name in names})


@functools.cache
def saved_files():
    """The files of two states of a run, by name."""
    with tempfile.TemporaryDirectory() as directory:
        for update in (1, 2):
            record = {"seconds": 1.5, "recipe": {"seed": 42}, "best": None}
            save(Path(directory), state_of(update), record, update == 2, "")
        names = [f"{state}/{part}" for state in STATES for part in PARTS]
        return {name: (Path(directory) / name).read_bytes() for name in names}


def read(changed):
    """The newest state where some of the files are others, and the updates that were as they are.

    A file that is `None` is missing. `(None, updates)` where there is an error of one line.
    """
    files = {**saved_files(), **changed}
    whole = [
        update
        for update, state in zip((1, 2), STATES, strict=True)
        if all(files[f"{state}/{part}"] == saved_files()[f"{state}/{part}"] for part in PARTS)
    ]
    with tempfile.TemporaryDirectory() as directory:
        for name, data in files.items():
            path = Path(directory) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if data is not None:
                path.write_bytes(data)
        try:
            found = newest(Path(directory))
        except CompacterError as error:
            assert_one_line(f"{error} {error.hint or ''}")
            return None, whole
    for reason in found.damaged.values():
        assert_one_line(reason)
    return found, whole


def assert_sound(found):
    if found is None or found.checkpoint is None:
        return
    (update, tensors), record = found.checkpoint
    assert type(update) is int
    assert isinstance(record, dict)
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in tensors.values())


def assert_the_newest_whole(found, whole):
    """Where nobody vouches for what was changed, what is read is a state as it was saved."""
    assert found is not None
    if found.checkpoint is None:
        assert whole == []
        return
    update, tensors = found.checkpoint.state
    assert update >= max(whole, default=0)  # a manifest may be laid out otherwise
    assert all(torch.equal(tensors[name], t) for name, t in state_of(update).tensors.items())


FEWER = settings(LIMITED, max_examples=int(LONGER or 150))
VALUES = draw.recursive(
    draw.none()
    | draw.booleans()
    | draw.integers(-(2**70), 2**70)
    | draw.floats()
    | draw.text(max_size=8)
    | draw.sampled_from(["compacter-run-state", 1, {}, []]),
    lambda inner: draw.lists(inner, max_size=3) | draw.dictionaries(draw.text(max_size=8), inner),
    max_leaves=8,
)
KEYS = ("format", "version", "created_by", "update", "files", "record", "manifest_sha256", "more")


@FEWER
@given(draw.dictionaries(draw.sampled_from(KEYS), VALUES, min_size=1), draw.booleans())
def test_a_manifest_of_any_values_is_a_state_or_passed_over(changes, signed):
    name = f"{STATES[1]}/{MANIFEST}"
    manifest = {**json.loads(saved_files()[name]), **changes}
    if signed:
        manifest["manifest_sha256"] = hash_of(manifest)
    found, _ = read({name: json.dumps(manifest).encode()})
    assert_sound(found)
    if found is not None:
        assert found.checkpoint is not None


@FEWER
@given(draw.binary(max_size=400) | PIECES)
def test_a_manifest_of_any_bytes_is_passed_over(data):
    found, whole = read({f"{STATES[1]}/{MANIFEST}": data})
    assert_the_newest_whole(found, whole)


def vouched(part, data):
    """A changed file of the newest state, and a manifest that vouches for it."""
    name = f"{STATES[1]}/{MANIFEST}"
    manifest = json.loads(saved_files()[name])
    manifest["files"][part] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    manifest["manifest_sha256"] = hash_of(manifest)
    return {f"{STATES[1]}/{part}": data, name: json.dumps(manifest).encode()}


@FEWER
@given(draw.sampled_from((WEIGHTS, OPTIMIZER)), edits_of(("it",)) | draw.binary(max_size=200))
def test_tensors_of_any_bytes_are_sound_or_passed_over_though_vouched_for(part, change):
    data = change
    if isinstance(change, list):
        data = bytearray(saved_files()[f"{STATES[1]}/{part}"])
        for _, share, removed, piece in change:
            start = int(share * len(data))
            data[start : start + removed] = piece
    found, _ = read(vouched(part, bytes(data)))
    assert_sound(found)
    assert found.checkpoint is not None


def test_a_changed_file_that_is_vouched_for_is_read():
    data = safetensors.torch.save({"weight/a": torch.full((5,), 7.0)})
    found, _ = read(vouched(WEIGHTS, data))
    assert found.damaged == {}
    assert found.checkpoint.state.tensors["weight/a"].tolist() == [7.0] * 5


RECIPE = load_recipe("demo/smoke_compacterpp")
RECORD = {
    "recipe": RECIPE.plain(),
    "fingerprints": {"backbone": "b", "data": "d"},
    "computed": {"compacter": "1", "torch": "2", "device": "cpu", "threads": 1, "dropout": "sfc64"},
    "progress": {"epochs": 1, "losses": 0.5, "counted": 1, "best": None},
    "best": None,
    "before": None,
    "seconds": 1.5,
}


@FEWER
@given(draw.dictionaries(draw.sampled_from([*RECORD]), VALUES, min_size=1))
def test_a_record_of_any_values_is_one_or_an_error_of_one_line(changes):
    now = RECORD["fingerprints"]
    try:
        found = check_record(Path("run"), {**RECORD, **changes}, RECIPE, now)
    except CompacterError as error:
        assert_one_line(f"{error} {error.hint or ''}")
        return
    assert found["recipe"] == RECORD["recipe"]
    assert changes.get("fingerprints", now) == now
    Progress.of_record(found["progress"])
    changes_of(found["computed"], RECORD["computed"])


EVERY_FILE = tuple(f"{state}/{part}" for state in STATES for part in PARTS)


@FEWER
@given(edits_of(EVERY_FILE), draw.lists(draw.sampled_from(EVERY_FILE), max_size=2))
def test_a_directory_with_any_bytes_changed_is_read_as_its_newest_whole_state(edits, missing):
    changed = {}
    for name, share, removed, piece in edits:
        data = bytearray(changed.get(name, saved_files()[name]))
        start = int(share * len(data))
        data[start : start + removed] = piece
        changed[name] = bytes(data)
    found, whole = read({**changed, **dict.fromkeys(missing)})
    assert_the_newest_whole(found, whole)

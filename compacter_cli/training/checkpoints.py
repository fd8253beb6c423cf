"""Saved states of a run: each a directory of its own, whole or not there, the newest two kept.

    <run>/state/00000120/    weights.safetensors, optimizer.safetensors, manifest.json
    <run>/state/00000120e/   of the same update, its epoch scored

A state is written beside its place, every file and the directory itself synced, and moved there
in one step: whatever ends the process or the power, what is found is the state before or this one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import safetensors.numpy

import compacter_cli
from compacter_cli.adapters.manifest import hash_of
from compacter_cli.errors import CompacterError, excerpt
from compacter_cli.files import (
    make_directory,
    read_file,
    read_json,
    remove_any,
    space_words,
    sweep,
    way_out,
    write_whole,
)
from compacter_cli.t5.shapes import MOST_PARAMETERS
from compacter_cli.t5.tensors import read_tensors
from compacter_cli.training.run_directory import STATE_NAME, STATES
from compacter_cli.training.trainer import WEIGHT, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT, VERSION = "compacter-run-state", 1
MANIFEST = "manifest.json"
WEIGHTS, OPTIMIZER = "weights.safetensors", "optimizer.safetensors"
KEPT = 2
MANIFEST_BYTES = 100_000  # and safetensors' headers: what a save takes beside tensors, about
# Read of a file at most: float32 weights, and two moments of each.
LIMITS = {WEIGHTS: 4 * MOST_PARAMETERS, OPTIMIZER: 8 * MOST_PARAMETERS}


# What a damaged state comes to; a disk that cannot be read just now is no damage.
_DAMAGE = (
    FileNotFoundError, NotADirectoryError, IsADirectoryError,
    ValueError, LookupError, TypeError, AttributeError,
)  # fmt: skip


class Checkpoint(NamedTuple):
    """A state as it was saved: the trainer's, and the record that was put beside it."""

    state: State
    record: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """The newest state that verifies, and why those newer than it do not.

    Attributes:
        checkpoint: `None` where there is none.
        damaged: reasons by name, of those that were passed over.
    """

    checkpoint: Checkpoint | None
    damaged: dict[str, str]


def save(directory: Path, state: State, record: Mapping[str, Any], scored: bool, then: str) -> None:
    """Save a state of the run in `directory`, and remove all but the newest two.

    `scored` tells that its update ends an epoch which has been scored.

    Raises:
        CompacterError: the disk is full or cannot be written; the states before stay. `then` is
            the command that goes on.
    """
    place = directory / STATES / f"{state.update:08d}{'e' if scored else ''}"
    try:
        if not place.parent.is_dir():
            make_directory(place.parent)
        write_whole(place, _files(state, record))
        remove_older(directory)
    except OSError as error:
        needed = space_words(error, directory, bytes_of(state))
        raise CompacterError(
            f"cannot save the state to {place}: {error.strerror or error}{needed}",
            f"{way_out(error)}, then: {then}; the state saved before is untouched",
        ) from error


def _files(state: State, record: Mapping[str, Any]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each file of a state: the tensors', then the manifest that vouches."""
    written = {}
    for name, tensors in _by_file(state.tensors).items():
        # By way of numpy: the same bytes, with less done for every one of hundreds of tensors.
        data = safetensors.numpy.save({key: t.cpu().numpy() for key, t in tensors.items()})
        written[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        yield name, data
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "created_by": f"compacter {compacter_cli.__version__}",
        "update": state.update,
        "files": written,
        "record": record,
    }
    manifest["manifest_sha256"] = hash_of(manifest)
    yield MANIFEST, json.dumps(manifest).encode()  # indents are Python, not C


def _by_file(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    files: dict[str, dict[str, Tensor]] = {WEIGHTS: {}, OPTIMIZER: {}}
    for key, tensor in tensors.items():
        files[WEIGHTS if key.startswith(f"{WEIGHT}/") else OPTIMIZER][key] = tensor
    return files


def bytes_of(state: State) -> int:
    """Bytes that a state takes on the disk, its manifest apart."""
    return sum(tensor.nbytes for tensor in state.tensors.values())


def newest(directory: Path) -> Found:
    """The newest state of the run in `directory` that is whole.

    Raises:
        CompacterError: one comes from another format version or cannot be read, or they lie
            elsewhere.
    """
    if (directory / STATES).is_symlink():  # what is there may be another run's, to be removed
        raise CompacterError(
            f"{directory / STATES} is a link, which is not followed",
            "a link may stand for the whole run, but not for a part of it",
        )
    damaged = {}
    for place in reversed(_places(directory)):
        try:
            return Found(_read(place), damaged)
        except _DAMAGE as error:
            reason = getattr(error, "strerror", None) or excerpt(str(error), 200)
            damaged[place.name] = reason
        except OSError as error:  # it may be whole, and readable in a moment
            raise CompacterError(
                f"cannot read the state in {place}: {error.strerror or error}",
                "nothing was changed; try again once it can be read",
            ) from error
    return Found(None, damaged)


def _read(place: Path) -> Checkpoint:
    manifest = read_json(place / MANIFEST)
    if manifest.get("format") != FORMAT:
        raise ValueError(f"{MANIFEST} is none of a run's state")
    # Before its version, which a bit may have changed.
    if manifest.pop("manifest_sha256") != hash_of(manifest):
        raise ValueError(f"{MANIFEST} is not as it was written")
    if manifest.get("version") != VERSION:
        raise CompacterError(
            f"{place} has format version {excerpt(manifest.get('version'))}, this compacter reads "
            f"{VERSION}",
            "go on with the version that wrote it: " + excerpt(manifest.get("created_by", "?")),
        )
    update, record = manifest["update"], manifest["record"]
    if type(update) is not int or update < 0 or not isinstance(record, dict):
        raise ValueError(f"{MANIFEST} tells of no update")
    tensors: dict[str, Tensor] = {}
    for name, limit in LIMITS.items():
        data = read_file(place / name, limit)
        if hashlib.sha256(data).hexdigest() != manifest["files"][name]["sha256"]:
            raise ValueError(f"the hash of {name} is not the one written down")
        tensors |= read_tensors(data, name)
    return Checkpoint(State(update, tensors), record)


def _places(directory: Path) -> list[Path]:
    """The directories of the states there are, the oldest first."""
    states = directory / STATES
    if not states.is_dir():
        return []
    return sorted((e for e in states.iterdir() if STATE_NAME.fullmatch(e.name)), key=_order)


def _order(place: Path) -> tuple[int, bool]:
    return int(place.name.rstrip("e")), place.name.endswith("e")


def remove_older(directory: Path) -> None:
    """Remove all states but the newest two, and what killed processes left half written."""
    for place in _places(directory)[:-KEPT]:
        shutil.rmtree(place, ignore_errors=True)
    sweep(directory / STATES, STATE_NAME.fullmatch)


def remove(directory: Path, names: Iterable[str]) -> None:
    """Remove the states called `names`."""
    for name in names:
        remove_any(directory / STATES / name)

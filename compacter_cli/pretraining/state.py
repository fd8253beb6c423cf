"""What an interrupted pretraining continues from: saved whole, the one before kept until it is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import safetensors.torch

from compacter_cli.errors import CompacterError, excerpt
from compacter_cli.files import (
    place_of,
    present,
    read_file,
    read_json,
    remove_any,
    space_words,
    way_out,
    write_whole,
)
from compacter_cli.pretraining.directory import PRETRAINING, STATE
from compacter_cli.t5.shapes import MOST_PARAMETERS
from compacter_cli.t5.tensors import read_tensors
from compacter_cli.t5.vocabulary import VOCABULARY_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

TENSORS, MANIFEST, VOCABULARY = "state.safetensors", "state.json", "vocabulary.spm"
# What is read of a file at most; of the tensors, float32 weights and two moments of each.
LIMITS = {TENSORS: 12 * MOST_PARAMETERS, VOCABULARY: VOCABULARY_BYTES}


@dataclass(frozen=True)
class Progress:
    """How far a pretraining is.

    Attributes:
        step: updates done.
        start_loss, loss: validation losses, of the random start and the latest; `None` before it.
        seconds: of training so far.
        text_sha256: hash of the text, which must be the same to go on.
    """

    step: int
    start_loss: float | None
    loss: float | None
    seconds: float
    text_sha256: str


@dataclass(frozen=True)
class Manifest:
    """`state.json`: how far the run is, and the hashes of the other files by name."""

    progress: Progress
    sha256: dict[str, str]

    def as_text(self) -> str:
        return json.dumps({**asdict(self.progress), "sha256": self.sha256}, indent=2)

    @classmethod
    def of_plain(cls, plain: dict[str, Any]) -> Manifest:
        """The manifest whose text `as_text` wrote, as it is parsed.

        Raises:
            ValueError, LookupError, TypeError, AttributeError: it is none.
        """
        sha256 = plain.pop("sha256")
        progress = Progress(**plain)
        if not isinstance(progress.step, int) or progress.step < 0:
            raise ValueError(f"step is {excerpt(progress.step)}, expected a whole number")
        for name in ("start_loss", "loss", "seconds"):
            value = getattr(progress, name)
            if not isinstance(value, (float, int)) and (value is not None or name == "seconds"):
                raise ValueError(f"{name} is {excerpt(value)}, expected a number")
        return cls(progress, sha256)


class State(NamedTuple):
    """What is saved: `tensors` are weights and moments by name, `vocabulary` its bytes."""

    progress: Progress
    tensors: dict[str, Tensor]
    vocabulary: bytes


def save_state(
    directory: Path, progress: Progress, tensors: Mapping[str, Tensor], vocabulary: bytes
) -> None:
    """Write the state of the run in `directory`, whole or not at all; see `State`.

    Raises:
        CompacterError: the disk is full or cannot be written; the state saved before stays.
    """
    place = directory / STATE
    data = safetensors.torch.save({name: t.contiguous().cpu() for name, t in tensors.items()})
    files = {TENSORS: data, VOCABULARY: vocabulary}
    manifest = Manifest(progress, {name: _sha256(content) for name, content in files.items()})
    try:
        write_whole(place, {**files, MANIFEST: manifest.as_text().encode()}.items())
    except OSError as error:
        needed = space_words(error, directory, sum(map(len, files.values())))
        raise CompacterError(
            f"cannot save to {place}: {error.strerror or error}{needed}",
            f"{way_out(error)} and continue with --resume; the state saved before is untouched",
        ) from error


def load_state(directory: Path) -> State:
    """The state of the run in `directory`, verified.

    Raises:
        CompacterError: it is damaged, or what it holds is not finite.
    """
    place = present(directory / STATE)
    try:
        manifest = Manifest.of_plain(read_json(place / MANIFEST))
        files = {name: read_file(place / name, limit) for name, limit in LIMITS.items()}
        for name, content in files.items():
            if _sha256(content) != manifest.sha256[name]:
                raise ValueError(f"the hash of {name} is not the one written down")
        return State(manifest.progress, read_tensors(files[TENSORS], TENSORS), files[VOCABULARY])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CompacterError(
            f"{place} is damaged: {error}", "begin again with --overwrite"
        ) from error


def remove_state(directory: Path) -> None:
    """Delete the state of a finished run, and what killed processes left half written."""
    for entry in directory.iterdir():
        place = place_of(entry)
        if place != STATE and (place == entry.name or place not in PRETRAINING.own):
            continue
        remove_any(entry)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

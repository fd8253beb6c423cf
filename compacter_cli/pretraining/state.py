"""What an interrupted pretraining continues from: saved whole, the one before kept until it is."""

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError

from compacter_cli.errors import CompacterError
from compacter_cli.files import present, previous, write_whole
from compacter_cli.pretraining.directory import STATE

TENSORS, MANIFEST, VOCABULARY = "state.safetensors", "state.json", "vocabulary.spm"


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


def save_state(directory, progress, tensors, proto):
    """Write the state of a run in `directory`, whole or not at all.

    Args:
        progress: `Progress`.
        tensors: weights and moments by name.
        proto: bytes of the vocabulary.

    Raises:
        CompacterError: the disk is full or cannot be written; the state saved before stays.
    """
    place = Path(directory) / STATE
    data = safetensors.torch.save({name: t.contiguous().cpu() for name, t in tensors.items()})
    hashes = {TENSORS: hashlib.sha256(data).hexdigest(), VOCABULARY: _sha256(proto)}
    manifest = {**asdict(progress), "sha256": hashes}
    text = json.dumps(manifest, indent=2)
    try:
        write_whole(place, {TENSORS: data, VOCABULARY: proto, MANIFEST: text.encode()})
    except OSError as error:
        raise CompacterError(
            f"cannot save to {place}: {error.strerror or error}",
            "free some space and continue with --resume; the state saved before is untouched",
        ) from error


def load_state(directory):
    """`(Progress, tensors, vocabulary bytes)` of the state in `directory`, verified.

    Raises:
        CompacterError: it is damaged.
    """
    place = present(Path(directory) / STATE)
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        hashes = manifest.pop("sha256")
        found = {name: (place / name).read_bytes() for name in (TENSORS, VOCABULARY)}
        for name, data in found.items():
            if _sha256(data) != hashes[name]:
                raise ValueError(f"the hash of {name} is not the one written down")
        tensors = safetensors.torch.load(found[TENSORS])
        return Progress(**manifest), tensors, found[VOCABULARY]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, SafetensorError) as error:
        raise CompacterError(
            f"{place} is damaged: {error}", "begin again with --overwrite"
        ) from error


def remove_state(directory):
    """Delete the state of a finished run, and what killed processes left half written."""
    place = Path(directory) / STATE
    for leftover in (place, previous(place), *Path(directory).glob("*.new-*")):
        if leftover.is_dir():
            shutil.rmtree(leftover)
        else:
            leftover.unlink(missing_ok=True)


def _sha256(data):
    return hashlib.sha256(data).hexdigest()

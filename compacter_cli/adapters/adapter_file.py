"""Adapter files: exactly the trained weights in safetensors, with a manifest that vouches for them.

An adapter is a directory of two files, `adapter.safetensors` and `adapter.json`. It is written
beside its place, made durable, and moved there whole; at every moment either the new one or the
one before can be loaded.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch

import compacter_cli
from compacter_cli.adapters.card_file import CARD, edited
from compacter_cli.adapters.manifest import (
    FORMAT,
    MANIFEST,
    VERSION,
    Manifest,
    Unsigned,
    hash_of,
    read_manifest,
)
from compacter_cli.errors import CompacterError, UsageError, excerpt
from compacter_cli.files import (
    JSON_BYTES,
    json_text,
    present,
    read_file,
    space_words,
    way_out,
    write_whole,
)
from compacter_cli.t5.tensors import read_tensors

if TYPE_CHECKING:
    from compacter_cli.t5.loading import Backbone
    from compacter_cli.t5.shapes import T5Shape

WEIGHTS = "adapter.safetensors"


@dataclass(frozen=True)
class AdapterFile:
    """A verified adapter: where it was, its manifest, its float32 tensors by structural name."""

    directory: Path
    manifest: Manifest
    tensors: dict[str, torch.Tensor]


def manifest_of(
    tensors: Mapping[str, torch.Tensor],
    *,
    method: dict[str, Any],
    task: str,
    backbone: Backbone,
    shape: T5Shape,
    recipe: dict[str, Any],
    metrics: dict[str, float] | None = None,
) -> Unsigned:
    """Everything a manifest says but the hashes, which `save_adapter` adds.

    Args:
        tensors: the trained tensors by structural name.
        method: settings of the method, as plain data.
        task: name of the task.
        backbone: the backbone it was trained on.
        shape: the backbone's dimensions.
        recipe: the whole recipe, as plain data.
        metrics: scores at the time of saving, if any.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "created_by": f"compacter {compacter_cli.__version__}",
        "method": method,
        "task": task,
        "backbone": {
            "preset": backbone.preset,
            "fingerprint": backbone.fingerprint,
            "vocabulary_sha256": backbone.vocabulary.sha256,
            "parameters": shape.parameters(),
        },
        "trained_parameters": sum(tensor.numel() for tensor in tensors.values()),
        "metrics": metrics or {},
        "tensors": {name: {"shape": list(t.shape), "dtype": "F32"} for name, t in tensors.items()},
        "recipe": recipe,
    }


def save_adapter(
    directory: Path | str, tensors: Mapping[str, torch.Tensor], manifest: Unsigned
) -> None:
    """Write an adapter to `directory`, whole or not at all.

    A README.md that somebody has edited stays. One as it was written is of the weights before, and
    goes with them; so does one that cannot be read.

    Raises:
        CompacterError: the disk is full or cannot be written; an adapter that was there stays.
    """
    data = safetensors.torch.save({n: t.detach().cpu() for n, t in tensors.items()})
    signed = {**manifest, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    signed["manifest_sha256"] = hash_of(signed)
    try:
        files = {WEIGHTS: data, MANIFEST: json_text(signed).encode()}
        if (card := _own_card(present(directory))) is not None:
            files[CARD] = card
        write_whole(Path(directory), files.items())
    except OSError as error:
        needed = space_words(error, Path(directory), len(data))
        raise CompacterError(
            f"cannot write the adapter to {directory}: {error.strerror or error}{needed}",
            f"{way_out(error)} or choose another --output; the adapter saved before is untouched",
        ) from error


def check_place(directory: Path, overwrite: bool) -> None:
    """Raise `UsageError` unless an adapter can be written to `directory` and nothing is lost: it is
    new or empty, or holds an adapter alone that may be replaced."""
    if not os.path.lexists(directory):
        return
    held = {path.name for path in directory.iterdir()} if directory.is_dir() else {""}
    if held and not (MANIFEST in held and held <= {WEIGHTS, MANIFEST, CARD}):
        raise UsageError(
            f"{directory} holds what is no adapter, and is never overwritten",
            "choose a new directory",
        )
    if held and not overwrite:
        raise UsageError(
            f"{directory} holds an adapter already", "choose a new directory, or overwrite=True"
        )


def _own_card(directory: Path) -> bytes | None:
    """A card that somebody has edited, if there is one that can be read."""
    try:
        return edited(directory)
    except (OSError, ValueError):  # no training ends for it
        return None


def load_adapter(directory: Path | str) -> AdapterFile:
    """Read and verify an adapter.

    No more is read than the tensors take that the manifest describes, and memory for three times
    that is used.

    Raises:
        CompacterError: a file is missing or damaged, lies outside the directory, or comes from a
            newer version; a weight is not finite, not float32, or not as described.
    """
    directory = present(directory)
    manifest = read_manifest(directory)
    path = directory / WEIGHTS
    data = _verified(path, manifest)
    try:
        tensors = read_tensors(data, path)
    except ValueError as error:
        raise CompacterError(str(error)) from error
    if difference := _difference(tensors, manifest):
        raise CompacterError(
            f"{path}: its tensors are not those that {MANIFEST} describes ({difference})"
        )
    return AdapterFile(directory, manifest, tensors)


def _verified(path: Path, manifest: Manifest) -> bytes:
    """The bytes of an adapter's weights, which are those that its manifest vouches for."""
    if not path.exists():
        raise CompacterError(f"{path} is missing", "the manifest alone is no adapter")
    described = sum(4 * math.prod(entry["shape"]) for entry in manifest["tensors"].values())
    try:
        data = read_file(path, described + JSON_BYTES)  # safetensors' header is JSON
    except (OSError, ValueError) as error:
        raise CompacterError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != manifest["sha256"]:
        written, size = excerpt(manifest["sha256"]), manifest.get("bytes", "?")
        raise CompacterError(
            f"{path} is damaged: sha256 {found[:12]}…, its manifest says {written[:12]}… "
            f"({len(data):,} of {size} bytes)",
            "copy the adapter again from where it was trained",
        )
    return data


def _difference(tensors: Mapping[str, torch.Tensor], manifest: Manifest) -> str | None:
    """In what the first tensor is not as a manifest describes it, `None` where all are."""
    described = manifest["tensors"]
    if names := sorted(described.keys() ^ tensors.keys()):
        where = "described" if names[0] in described else "in the file"
        return f"{excerpt(names[0])} is only {where}"
    for name, tensor in tensors.items():
        found, expected = list(tensor.shape), described[name]["shape"]
        if found != expected:
            return f"{excerpt(name)} has the shape {found}, described is {expected}"
        if (kind := described[name].get("dtype", "F32")) != "F32":
            return f"{excerpt(name)} is F32, described is {excerpt(kind)}"
    return None


def check_backbone(adapter: AdapterFile, backbone: Backbone) -> None:
    """Raise `CompacterError` unless `adapter` was trained on `backbone`, weights and vocabulary."""
    trained_on = adapter.manifest["backbone"]
    pairs = (
        ("fingerprint", trained_on["fingerprint"], backbone.fingerprint),
        ("vocabulary", trained_on["vocabulary_sha256"], backbone.vocabulary.sha256),
    )
    for what, wanted, found in pairs:
        if wanted != found:
            raise CompacterError(
                f"{adapter.directory} was trained on another backbone: {what} {wanted[:12]}… "
                f"({trained_on['preset']}), this one has {found[:12]}… ({backbone.preset})",
                f"load it onto {trained_on['preset']}",
            )

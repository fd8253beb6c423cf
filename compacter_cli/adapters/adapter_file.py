"""Adapter files: exactly the trained weights in safetensors, with a manifest that vouches for them.

An adapter is a directory of two files, `adapter.safetensors` and `adapter.json`. It is written
beside its place, made durable, and moved there whole; at every moment either the new one or the
one before can be loaded.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from pydantic import BaseModel, ValidationError

import compacter_cli
from compacter_cli.errors import CompacterError
from compacter_cli.files import present, write_whole

FORMAT, VERSION = "compacter-adapter", 1
WEIGHTS, MANIFEST = "adapter.safetensors", "adapter.json"


class _Backbone(BaseModel):
    preset: str
    fingerprint: str
    vocabulary_sha256: str


class _Tensor(BaseModel):
    shape: list[int]


class _Manifest(BaseModel):
    """What a manifest must hold, and of which kind; it may hold more."""

    task: str
    method: dict
    backbone: _Backbone
    tensors: dict[str, _Tensor]
    sha256: str
    recipe: dict


@dataclass(frozen=True)
class AdapterFile:
    """A verified adapter: where it was, its manifest, its float32 tensors by structural name."""

    directory: Path
    manifest: dict
    tensors: dict[str, torch.Tensor]


def manifest_of(tensors, *, method, task, backbone, shape, recipe, metrics=None):
    """Everything a manifest says but the hash of the weights, which `save_adapter` adds.

    Args:
        tensors: the trained tensors by structural name.
        method: settings of the method, as plain data.
        task: name of the task.
        backbone: the `Backbone` it was trained on.
        shape: the backbone's `T5Shape`.
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


def save_adapter(directory, tensors, manifest):
    """Write an adapter to `directory`, whole or not at all.

    Raises:
        CompacterError: the disk is full or cannot be written; an adapter that was there stays.
    """
    data = safetensors.torch.save({n: t.detach().cpu() for n, t in tensors.items()})
    signed = {**manifest, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    text = json.dumps(signed, indent=2, ensure_ascii=False) + "\n"
    try:
        write_whole(Path(directory), {WEIGHTS: data, MANIFEST: text.encode()})
    except OSError as error:
        raise CompacterError(
            f"cannot write the adapter to {directory}: {error.strerror or error}",
            "free some space or choose another --output; the adapter saved before is untouched",
        ) from error


def load_adapter(directory):
    """Read and verify an adapter.

    Raises:
        CompacterError: a file is missing or damaged, or comes from a newer version.
    """
    directory = present(directory)
    manifest = read_manifest(directory)
    path = directory / WEIGHTS
    if not path.is_file():
        raise CompacterError(f"{path} is missing", "the manifest alone is no adapter")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CompacterError(f"cannot read {path}: {error.strerror}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != manifest["sha256"]:
        written, size = str(manifest["sha256"]), manifest.get("bytes", "?")
        raise CompacterError(
            f"{path} is damaged: sha256 {found[:12]}…, its manifest says {written[:12]}… "
            f"({len(data):,} of {size} bytes)",
            "copy the adapter again from where it was trained",
        )
    try:
        tensors = safetensors.torch.load(data)
    except Exception as error:
        raise CompacterError(f"{path} is no safetensors file: {error}") from error
    described = {name: list(tensor.shape) for name, tensor in tensors.items()}
    expected = {name: entry["shape"] for name, entry in manifest["tensors"].items()}
    if described != expected:
        raise CompacterError(f"{path}: its tensors are not those that {MANIFEST} describes")
    return AdapterFile(directory, manifest, tensors)


def read_manifest(directory):
    """The manifest of an adapter directory, checked for format, version and keys."""
    path = present(directory) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CompacterError(
            f"no adapter in {directory}: {MANIFEST} is missing",
            "give the best/ or last/ folder of a run",
        ) from None
    except (OSError, ValueError) as error:
        raise CompacterError(f"{path} is damaged: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CompacterError(f"{path} is not the manifest of a compacter adapter")
    if manifest.get("version") != VERSION:
        raise CompacterError(
            f"{path} has format version {manifest.get('version')}, this compacter reads {VERSION}",
            "install the version that wrote it: " + str(manifest.get("created_by", "unknown")),
        )
    try:
        _Manifest.model_validate(manifest, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        what = f"it lacks {key}" if first["type"] == "missing" else f"{key}: {first['msg']}"
        raise CompacterError(f"{path} is damaged: {what}") from error
    return manifest


def check_backbone(adapter, backbone):
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

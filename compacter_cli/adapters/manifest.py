"""An adapter's manifest, adapter.json: its schema, its version, and reading it verified."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NotRequired, cast

from pydantic import Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.errors import CompacterError, excerpt, user_path
from compacter_cli.files import present, read_json

FORMAT, VERSION = "compacter-adapter", 1
MANIFEST = "adapter.json"
BEST = "best"  # the folder of a run's best adapter
MOST_AXES, LONGEST_AXIS = 8, 2**40  # of a tensor; what trains has three axes at most


class TrainedOn(TypedDict):
    """The backbone of an adapter: an adapter loads where fingerprint and vocabulary agree."""

    preset: str
    fingerprint: str
    vocabulary_sha256: str
    parameters: NotRequired[int]


class TensorEntry(TypedDict):
    """What adapter.safetensors holds under a name."""

    shape: Annotated[
        list[Annotated[int, Field(ge=0, le=LONGEST_AXIS)]], Field(max_length=MOST_AXES)
    ]
    dtype: NotRequired[str]


class StartedFrom(TypedDict):
    """The adapter that a training began with: what it was trained on, sha256 of its weights."""

    task: str
    sha256: str


class AdapterOrigin(TypedDict):
    """What an adapter was converted from: whose it is, by what version if it says, which files."""

    program: str
    version: NotRequired[str]
    sha256: dict[str, str]


class Unsigned(TypedDict):
    """A manifest before it is written; it may hold more than this."""

    format: str
    version: int
    created_by: NotRequired[str]
    method: dict[str, Any]
    task: str
    backbone: TrainedOn
    trained_parameters: NotRequired[int]
    metrics: NotRequired[dict[str, float]]
    tensors: dict[str, TensorEntry]
    recipe: dict[str, Any]
    started_from: NotRequired[StartedFrom]
    origin: NotRequired[AdapterOrigin]


class Manifest(Unsigned):
    """A manifest as it is read: `sha256` is of the weights, `manifest_sha256` of all else in it."""

    sha256: str
    bytes: NotRequired[int]
    manifest_sha256: NotRequired[str]


def hash_of(manifest: Mapping[str, Any]) -> str:
    """sha256 over a manifest's content but its own hash, whatever its order and layout."""
    content = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def adapter_in(directory: Path | str) -> Path:
    """The adapter that is meant by a directory: itself, or the best one of a run."""
    directory = user_path(directory)
    best = present(directory / BEST)
    return best if not holds_adapter(directory) and (best / MANIFEST).exists() else directory


def holds_adapter(directory: Path) -> bool:
    """Whether a directory is that of an adapter."""
    return (present(directory) / MANIFEST).exists()


def read_manifest(directory: Path | str) -> Manifest:
    """The manifest of an adapter directory, checked for format, version, keys and its own hash.

    Raises:
        CompacterError: there is none, it is damaged, or comes from a newer version.
    """
    path = present(directory) / MANIFEST
    try:
        manifest = read_json(path)
    except FileNotFoundError:
        raise CompacterError(
            f"no adapter in {directory}: {MANIFEST} is missing",
            "give a run, or the best/ or last/ folder of one",
        ) from None
    except (OSError, ValueError) as error:
        raise CompacterError(f"{path} is damaged: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CompacterError(f"{path} is not the manifest of a compacter adapter")
    if manifest.get("version") != VERSION:
        raise CompacterError(
            f"{path} has format version {excerpt(manifest.get('version'))}, this compacter reads "
            f"{VERSION}",
            "install the version that wrote it: " + excerpt(manifest.get("created_by", "unknown")),
        )
    try:
        TypeAdapter(Manifest).validate_python(manifest, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = excerpt(".".join(str(part) for part in first["loc"]))
        what = f"it lacks {key}" if first["type"] == "missing" else f"{key}: {first['msg']}"
        raise CompacterError(f"{path} is damaged: {what}") from error
    # The first adapters have no such hash.
    if manifest.get("manifest_sha256", found := hash_of(manifest)) != found:
        raise CompacterError(
            f"{path} is damaged: what it says is not what was written (by its own sha256)",
            "copy the adapter again from where it was trained",
        )
    return cast(Manifest, manifest)

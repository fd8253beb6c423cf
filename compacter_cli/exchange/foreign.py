"""Adapters of other libraries as files: read, checked, and written."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from compacter_cli.data.text_files import sha256_of
from compacter_cli.errors import CompacterError, UsageError, excerpt
from compacter_cli.files import JSON_BYTES, json_text, read_json, write_durably
from compacter_cli.t5.hf_config import root_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from compacter_cli.adapters.manifest import AdapterOrigin as Origin
    from compacter_cli.t5.shapes import T5Shape

CONFIG = "adapter_config.json"  # both libraries'


class Counterpart(NamedTuple):
    """Another library's tensor of a trained one of ours.

    Attributes:
        name: in its file.
        form: how it holds ours: as it is, transposed, or a vector as the only column or row.
    """

    name: str
    form: Literal["same", "transposed", "column", "row"] = "same"

    def theirs(self, tensor: Tensor) -> Tensor:
        """Our tensor in their form."""
        if self.form in ("column", "row"):
            return tensor[:, None] if self.form == "column" else tensor[None]
        return tensor.T.contiguous() if self.form == "transposed" else tensor

    def ours(self, tensor: Tensor) -> Tensor:
        """Their tensor in our form."""
        if self.form in ("column", "row"):
            return tensor.flatten()
        return tensor.T.contiguous() if self.form == "transposed" else tensor


@dataclass(frozen=True)
class Foreign:
    """An adapter as another library wrote it.

    Attributes:
        directory: where it is.
        library: what the library is called.
        config: what its `adapter_config.json` says.
        tensors: float32, by the names in its file.
    """

    directory: Path
    library: str
    config: dict[str, Any]
    tensors: dict[str, Tensor]

    def refused(self, what: str, hint: str | None = None) -> UsageError:
        """The error of what this program has no counterpart of."""
        words = f"{self.directory}, an adapter of {self.library}: {what}"
        return UsageError(words, hint or f"{self.library} itself can use it, or train one without")


def says_peft(directory: Path) -> bool | None:
    """Whether a directory's `adapter_config.json` is peft's; `None` without one."""
    try:
        with open(directory / CONFIG, "rb") as file:
            return b'"peft_type"' in file.read(JSON_BYTES)
    except OSError:
        return None


def read_foreign(directory: Path, library: str, files: Sequence[str], shape: T5Shape) -> Foreign:
    """The adapter in a directory, whose weights are in the first of `files` that is there.

    Raises:
        CompacterError: a file is missing, damaged or too large, or a weight is not finite.
    """
    try:
        config = read_json(directory / CONFIG, within=root_of(directory))
        if not isinstance(config, dict):
            raise ValueError("it is no table")
    except (OSError, ValueError) as error:
        raise _damaged(directory / CONFIG, error) from error
    tensors = read_weights(directory, files, shape)
    if tensors is None:
        raise CompacterError(
            f"{directory} holds {CONFIG}, but no weights of an adapter of {library}",
            f"copy {' or '.join(files)} there, too",
        )
    return Foreign(directory, library, config, tensors)


def read_weights(directory: Path, files: Sequence[str], shape: T5Shape) -> dict[str, Tensor] | None:
    """The float32 tensors in the first of `files` that is there, `None` where none is.

    A file that has more than the backbone's weights is not read.

    Raises:
        CompacterError: it is damaged or too large, or a weight is not finite.
    """
    from compacter_cli.t5.tensors import float32_tensors, read_tensor_file

    path = _first(directory, files)
    if path is None:
        return None
    try:
        tensors = read_tensor_file(path, 4 * shape.parameters() + JSON_BYTES, root_of(directory))
        return float32_tensors(tensors)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> CompacterError:
    why = getattr(error, "strerror", None) or error
    return CompacterError(f"cannot read {path}: {why}", "copy the adapter again from its source")


def origin_of(directory: Path, library: str, said: str, files: Iterable[Sequence[str]]) -> Origin:
    """What is kept of where an adapter is from.

    Args:
        directory: it is in.
        library: what the library is called.
        said: the key of its config that has the library's version.
        files: names of its other files; of those in a row, the first that is there is read.

    Raises:
        CompacterError: a file cannot be read.
    """
    try:
        version = read_json(directory / CONFIG, within=root_of(directory)).get(said)
        paths = [directory / CONFIG, *filter(None, (_first(directory, row) for row in files))]
        found: Origin = {"program": library, "sha256": {p.name: sha256_of(p) for p in paths}}
    except (OSError, ValueError) as error:
        raise _damaged(directory, error) from error
    if isinstance(version, str):
        found["version"] = excerpt(version)
    return found


def _first(directory: Path, names: Iterable[str]) -> Path | None:
    return next((directory / name for name in names if (directory / name).is_file()), None)


def check_base(adapter: Foreign, name: object, shape: T5Shape) -> None:
    """Refuse a backbone of other dimensions than the T5 has that an adapter names, where known.

    Its tensors alone would not tell: t5-base and google/t5-v1_1-base are equally wide and deep.

    Raises:
        UsageError: the two are not the same model.
    """
    from compacter_cli.t5.hub_names import SAME
    from compacter_cli.t5.shapes import PRESETS

    known = PRESETS.get(SAME.get(str(name).removeprefix("google-t5/"), ""))
    # Vocabularies are cut, and heads tied, in one form of a model and not in another.
    same = {"vocabulary_size": 0, "tied": True}
    if known is not None and replace(known, **same) != replace(shape, **same):
        raise adapter.refused(
            f"it was trained on {name}, and this backbone has other dimensions",
            "give that T5: --set backbone.preset=DIR",
        )


def check_config(
    adapter: Foreign, said: Mapping[str, Any], usual: Mapping[str, Any], free: Collection[str]
) -> None:
    """Refuse what a config says beyond what this program knows.

    Args:
        adapter: whose config it is.
        said: the config.
        usual: keys that must have this value, where they are there.
        free: keys that are looked at elsewhere, or say only how it was trained.

    Raises:
        UsageError: one of `usual` has another value, or a key that is not known has any.
    """
    for key, value in said.items():
        if key in free or (value == usual[key] if key in usual else not value):
            continue
        raise adapter.refused(f"{excerpt(key)} = {excerpt(value)} has no counterpart here")


def counterparts(
    tensors: Mapping[str, Tensor], counterpart: Callable[[str], Counterpart]
) -> dict[str, Tensor]:
    """Trained tensors as another library holds them: on the CPU, none a part of another."""
    pairs = ((counterpart(name), tensor.detach().cpu()) for name, tensor in tensors.items())
    return {there.name: there.theirs(tensor).contiguous() for there, tensor in pairs}


def write_config(directory: Path, config: Mapping[str, Any], name: str = CONFIG) -> None:
    """Write a config as both libraries read it."""
    write_durably(directory / name, json_text(config).encode())


def pickled(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """What `torch.save` writes of tensors, which is read with `weights_only`."""
    import io

    import torch

    file = io.BytesIO()
    torch.save(dict(tensors), file)
    return file.getvalue()

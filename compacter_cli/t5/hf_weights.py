"""The weights of a T5 in Hugging Face's files: their names there, and reading them in pieces.

A weight is copied in parts of at most `PART` bytes into the backbone that is to hold it, and the
file is mapped anew for each: pages that were read are given back, and beside the backbone no more
than one part is in memory. (A `pytorch_model.bin` that torch wrote before 1.6 is no zip and cannot
be mapped: it is all in memory until it is read.)
"""

from __future__ import annotations

import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from compacter_cli.errors import excerpt
from compacter_cli.files import file_within, read_json
from compacter_cli.t5.hf_config import RELATIVE_BUCKETS, root_of

if TYPE_CHECKING:
    from torch import Tensor

    from compacter_cli.t5.shapes import T5Shape

PART = 64_000_000
SAFETENSORS, TORCH = "model.safetensors", "pytorch_model.bin"
FILES = (SAFETENSORS, f"{SAFETENSORS}.index.json", TORCH, f"{TORCH}.index.json")

_ATTENTION = {"query": "q", "key": "k", "value": "v", "output": "o"}
_SUBLAYERS = {
    "encoder": {"self_attention": 0, "feed_forward": 1},
    "decoder": {"self_attention": 0, "cross_attention": 1, "feed_forward": 2},
}
_MODULES = {
    "self_attention": "SelfAttention",
    "cross_attention": "EncDecAttention",
    "feed_forward": "DenseReluDense",
}
_EMBEDDINGS = ("shared", "encoder.embed_tokens", "decoder.embed_tokens")  # all the same tensor
HEAD = "lm_head.weight"
# Old files hold a relative bias of cross-attention, which nothing reads.
_UNUSED = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"


def names_of(shape: T5Shape) -> dict[str, str]:
    """Hugging Face's name of every weight of a T5 by its structural name."""
    return {name: _name(name, shape.gated) for name in shapes_of(shape)}


def shapes_of(shape: T5Shape) -> dict[str, tuple[int, ...]]:
    """The shape of every weight of a T5 by its structural name, as KerasHub has it."""
    k, projections = shape.hidden_dim, shape.projections()
    sublayers = {name.rpartition(".")[0] for name in projections}
    norms = [*sorted(sublayers), "encoder", "decoder"]
    bias = (RELATIVE_BUCKETS, shape.num_heads)
    return {
        "embedding": (shape.vocabulary_size, k),
        **({} if shape.tied else {"head": (k, shape.vocabulary_size)}),
        **{f"{stack}.0.self_attention.relative_bias": bias for stack in ("encoder", "decoder")},
        **projections,
        **{f"{owner}.layer_norm": (k,) for owner in norms},
    }


def is_transposed(name: str) -> bool:
    """Whether Hugging Face stores the weight of a structural name as (outputs, inputs)."""
    return name != "embedding" and not name.endswith(("layer_norm", "relative_bias"))


def _name(name: str, gated: bool) -> str:
    if name in ("embedding", "head"):
        return "shared.weight" if name == "embedding" else HEAD
    stack, *rest = name.split(".")
    if len(rest) == 1:
        return f"{stack}.final_layer_norm.weight"
    block, sublayer, role = rest
    layer = f"{stack}.block.{block}.layer.{_SUBLAYERS[stack][sublayer]}"
    if role == "layer_norm":
        return f"{layer}.layer_norm.weight"
    return f"{layer}.{_MODULES[sublayer]}.{_role(role, sublayer, gated)}.weight"


def _role(role: str, sublayer: str, gated: bool) -> str:
    if role == "relative_bias":
        return "relative_attention_bias"
    if sublayer != "feed_forward":
        return _ATTENTION[role]
    if role == "output":
        return "wo"
    return ("wi_0" if role == "input" else "wi_1") if gated else "wi"


class Weights:
    """The weights in a directory of Hugging Face's.

    Args:
        directory: where they are.
        shape: dimensions of the T5.
        shared: whether a head of its own that no file holds is the embedding.

    What the files hold is checked at once, before anything is read of it or made for it.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: one is damaged, holds more than tensors or not what its index says, or the
            tensors are not those of this T5.
    """

    def __init__(self, directory: Path, shape: T5Shape, shared: bool = False) -> None:
        paths, index = _weight_files(directory)
        self._files = [_opened(path) for path in paths]
        self._where = {name: file for file in self._files for name in file.shapes}
        self.shape = shape
        self._ignored = {*(f"{name}.weight" for name in _EMBEDDINGS), _UNUSED}
        self._ignored |= {HEAD} if shape.tied else set()
        self._check_index(index)
        self._names = names_of(shape)
        self._names["embedding"] = self._embedding()
        if shared and not shape.tied and HEAD not in self._where:
            self._names["head"] = self._names["embedding"]
        self._check()

    def into(self, name: str, target: Tensor) -> None:
        """Copy the weight of a structural name into `target`, of its shape in KerasHub."""
        transposed = is_transposed(name)
        for first, part in self._parts(self._names[name]):
            rows = slice(first, first + len(part))
            if transposed:
                target[:, rows] = part.T
            else:
                target[rows] = part

    def _parts(self, theirs: str) -> Iterator[tuple[int, Tensor]]:
        """A tensor in parts of whole rows, each with the number of its first."""
        file = self._where[theirs]
        rows, *row = file.shapes[theirs]
        step = max(1, PART // (4 * math.prod(row)))
        for first in range(0, rows, step):
            yield first, file.rows(theirs, first, min(rows, first + step))

    def _embedding(self) -> str:
        """The name under which the embedding was saved: some keep one of its names alone."""
        names = [f"{name}.weight" for name in _EMBEDDINGS] + [HEAD] * self.shape.tied
        return next((name for name in names if name in self._where), names[0])

    def _check_index(self, index: Mapping[str, str]) -> None:
        """Refuse shards without what the index says of them: they are of different savings."""
        held = {file.path.name: file.shapes for file in self._files}
        for name, place in index.items():
            if name not in held[place] and name not in self._ignored:
                raise ValueError(f"by its index {excerpt(name)} is in {place}, which lacks it")

    def _check(self) -> None:
        wanted = {self._names[name]: (name, size) for name, size in shapes_of(self.shape).items()}
        for name in self._where:
            if name not in wanted and name not in self._ignored:
                raise ValueError(f"its files hold {excerpt(name)}, which no T5 like this has")
        for theirs, (name, size) in wanted.items():
            self._check_tensor(theirs, tuple(reversed(size)) if is_transposed(name) else size)
        if self.shape.tied and HEAD in self._where:
            self._check_tied()

    def _check_tensor(self, theirs: str, size: tuple[int, ...]) -> None:
        if theirs not in self._where:
            raise ValueError(f"its files lack {theirs}")
        found = self._where[theirs].shapes[theirs]
        if found != size:
            told = (" x ".join(f"{n:,}" for n in axes) for axes in (found, size))
            raise ValueError("{} is {}, by config.json {}".format(theirs, *told))

    def _check_tied(self) -> None:
        """Refuse a head that the config ties to the embedding, and that is another."""
        if (embedding := self._names["embedding"]) == HEAD:
            return
        if self._where[HEAD].shapes[HEAD] == self._where[embedding].shapes[embedding]:
            pairs = zip(self._parts(HEAD), self._parts(embedding), strict=True)
            if all(bool((head == rows).all()) for (_, head), (_, rows) in pairs):
                return
        raise ValueError(f"{HEAD} is not {embedding}, though config.json ties the two")


def _weight_files(directory: Path) -> tuple[list[Path], dict[str, str]]:
    """The files of weights, one or those that an index names, and the index: file by tensor."""
    root = root_of(directory)
    place = next((directory / name for name in FILES if (directory / name).exists()), None)
    if place is None:
        raise FileNotFoundError(f"it has no weights: {SAFETENSORS} or {TORCH} is missing")
    if place.name in (SAFETENSORS, TORCH):
        return [file_within(place, root)], {}
    index = _index(place, root)
    return [file_within(directory / name, root) for name in sorted(set(index.values()))], index


def _index(place: Path, root: Path) -> dict[str, str]:
    """The file of every tensor, as an index says."""
    try:
        saved = read_json(place, within=root)
    except ValueError as error:
        raise ValueError(f"{place.name} is damaged: {error}") from error
    index = saved.get("weight_map") if isinstance(saved, dict) else None
    if not isinstance(index, dict):
        raise ValueError(f"{place.name} is damaged: it has no table weight_map")
    for name in index.values():
        if not isinstance(name, str) or Path(name).name != name:
            raise ValueError(f"{place.name} names {excerpt(name)}, which is not beside it")
    return index


def _opened(path: Path) -> SafetensorsFile | TorchFile:
    return SafetensorsFile(path) if path.suffix == ".safetensors" else TorchFile(path)


class SafetensorsFile:
    """A file of safetensors. `shapes` are those of its tensors by name."""

    def __init__(self, path: Path) -> None:
        import safetensors

        self.path = path
        try:
            # Its header is held against the size of the file, and so a file cut short is noticed.
            with safetensors.safe_open(str(path), "pt") as file:
                slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
                self.shapes = {name: tuple(part.get_shape()) for name, part in slices.items()}
                kinds = {name: part.get_dtype() for name, part in slices.items()}
        except safetensors.SafetensorError as error:
            raise ValueError(f"{path.name} is damaged: {excerpt(str(error), 200)}") from error
        for name, kind in kinds.items():
            if kind not in ("F32", "F16", "BF16"):  # which float32 holds exactly
                raise ValueError(f"{path.name} holds {excerpt(name)} as {kind}")

    def rows(self, name: str, first: int, last: int) -> Tensor:
        """Rows of a tensor, as float32."""
        import safetensors

        with safetensors.safe_open(str(self.path), "pt") as file:
            return file.get_slice(name)[first:last].float()


class TorchFile:
    """A file that `torch.save` wrote, of tensors alone. `shapes` are those of them by name."""

    def __init__(self, path: Path) -> None:
        import torch

        self.path = path
        self.shapes = {}
        tensors, exact = self._tensors(), (torch.float32, torch.float16, torch.bfloat16)
        if not isinstance(tensors, dict):
            raise ValueError(f"{path.name} holds no table of tensors")
        for name, tensor in tensors.items():
            if not isinstance(name, str) or not getattr(tensor, "is_floating_point", bool)():
                raise ValueError(f"{path.name} holds {excerpt(name)}, which is no tensor of floats")
            if tensor.dtype not in exact:
                kind = str(tensor.dtype).removeprefix("torch.")
                raise ValueError(f"{path.name} holds {excerpt(name)} as {kind}")
            self.shapes[name] = tuple(tensor.shape)

    def rows(self, name: str, first: int, last: int) -> Tensor:
        """Rows of a tensor, as float32."""
        part = self._tensors()[name].detach()[first:last]
        return part.float().clone()

    def _tensors(self) -> Mapping[str, Tensor]:
        return self._loaded(True) if zipfile.is_zipfile(self.path) else self._whole

    @cached_property
    def _whole(self) -> Mapping[str, Tensor]:
        return self._loaded(False)

    def _loaded(self, mapped: bool) -> Mapping[str, Tensor]:
        import torch

        try:
            return torch.load(self.path, map_location="cpu", weights_only=True, mmap=mapped)
        except Exception as error:  # of pickle, zip and torch: whatever a file brings them to
            raise ValueError(f"{self.path.name} {_flaw(error)}") from error


def _flaw(error: Exception) -> str:
    """What is wrong with a file that `torch.load` does not take."""
    text = str(error)
    # Said of what is no part of a tensor, such as a function that loading it would call.
    if found := re.search(r"(?i)unsupported (global|class|operand)[^\n]*", text):
        what = excerpt(re.split(" was not | whose module ", found[0])[0], 120)
        return f"is a pickle of more than tensors ({what}): nothing of it was run"
    first = re.split(r"\.\s|\n", text.strip())[0]
    return f"is damaged: {excerpt(first or type(error).__name__, 200)}"

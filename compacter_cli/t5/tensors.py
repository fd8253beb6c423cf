"""Tensors from files that may be anybody's: no code of theirs is run, and all are finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


def read_tensors(data: bytes, file: object) -> dict[str, Tensor]:
    """The float32 tensors of a safetensors file by name.

    What its header says is held against the size of `data` by safetensors itself, before anything
    is allocated; memory for about twice the size of `data` is used.

    Raises:
        ValueError: it is no such file, or a tensor is not float32 or not finite; `file` names it.
    """
    import safetensors.torch
    import torch

    from compacter_cli.errors import excerpt

    try:
        tensors = safetensors.torch.load(data)
    except Exception as error:  # whatever it comes to
        raise ValueError(f"{file} is no safetensors file: {excerpt(str(error), 200)}") from error
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            found = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(f"{file} holds {excerpt(name)} as {found}, expected float32")
    if name := first_not_finite(tensors):
        raise ValueError(f"{file} holds NaN or infinity in {excerpt(name)}")
    return tensors


def read_tensor_file(path: Path, limit: int, within: Path | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of one of `torch.save`, by name, of any floating dtype.

    A link may lead to what lies in `within`, of `path`'s own directory where that is not given.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is neither, larger than `limit` bytes, or holds more than tensors.
    """
    import safetensors.torch

    from compacter_cli.errors import excerpt
    from compacter_cli.files import read_file

    data = read_file(path, limit, within)
    try:
        found = _unpickled(data, limit) if path.suffix == ".bin" else safetensors.torch.load(data)
    except Exception as error:  # whatever a damaged or hostile file comes to
        first_line = str(error).partition("\n")[0]
        raise ValueError(f"it is no file of tensors alone: {excerpt(first_line, 200)}") from error
    return found


def _unpickled(data: bytes, limit: int) -> dict[str, Tensor]:
    """What `torch.save` wrote, read without running any code in it."""
    import io
    import zipfile

    import torch

    if zipfile.is_zipfile(file := io.BytesIO(data)):
        size = sum(entry.file_size for entry in zipfile.ZipFile(file).infolist())
        if size > limit + len(data):  # torch packs nothing; a bomb does
            raise ValueError(f"unpacked it has {size:,} bytes")
        file.seek(0)
    found = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(found, dict) or not all(isinstance(t, torch.Tensor) for t in found.values()):
        raise ValueError("it holds no table of tensors")
    return {str(name): tensor for name, tensor in found.items()}


def float32_tensors(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` of float32, float16 or bfloat16 in float32, which holds them exactly.

    Raises:
        ValueError: one is of another kind, or not finite.
    """
    import torch

    from compacter_cli.errors import excerpt

    exact = (torch.float32, torch.float16, torch.bfloat16)
    for name, tensor in tensors.items():
        if tensor.dtype not in exact or tensor.layout != torch.strided:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ValueError(f"it holds {excerpt(name)} as {kind}, expected float32")
    found = {name: tensor.detach().float() for name, tensor in tensors.items()}
    if name := first_not_finite(found):
        raise ValueError(f"it holds NaN or infinity in {excerpt(name)}")
    return found


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first of `tensors` that holds NaN or infinity, `None` where none does."""
    return next((name for name, tensor in tensors.items() if not _is_finite(tensor)), None)


def _is_finite(tensor: Tensor) -> bool:
    # One pass that allocates nothing: NaN and infinity stay in a sum. A sum can overflow, too.
    tensor = tensor.detach()
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())

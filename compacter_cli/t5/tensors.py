"""Tensors from files that may be anybody's: safetensors alone, float32, and finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

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


def first_not_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """The name of the first of `tensors` that holds NaN or infinity, `None` where none does."""
    return next((name for name, tensor in tensors.items() if not _is_finite(tensor)), None)


def _is_finite(tensor: Tensor) -> bool:
    # One pass that allocates nothing: NaN and infinity stay in a sum. A sum can overflow, too.
    tensor = tensor.detach()
    return bool(tensor.sum().isfinite()) or bool(tensor.isfinite().all())

"""A safetensors file written tensor by tensor.

The library's own writer takes all tensors at once, in the layout of the file: of a backbone whose
matrices are transposed for it, that is a second backbone in memory. The format is a few lines
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

PART = 64_000_000  # bytes of a tensor that are copied at a time
_ALIGNED = 8  # bytes: where the numbers begin


def write_tensors(
    path: Path, shapes: Mapping[str, tuple[int, ...]], tensors: Iterable[Tensor]
) -> None:
    """Write float32 tensors, of `shapes` by name, each asked for when it is written.

    Raises:
        ValueError: a tensor is not of its shape.
    """
    header = _header(shapes)
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for (name, shape), tensor in zip(shapes.items(), tensors, strict=True):
            if tuple(tensor.shape) != shape:
                raise ValueError(f"{name} should be {shape}. Received: {tuple(tensor.shape)}")
            # The largest, a transposed head, is not in memory twice.
            for part in tensor.detach().split(max(1, PART // (4 * math.prod(shape[1:])))):
                values = part.float().cpu().contiguous().numpy()
                file.write(values.astype("<f4", copy=False).data)


def _header(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        first, end = end, end + 4 * math.prod(shape)
        entries[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [first, end]}
    text = json.dumps(entries).encode()
    return text + b" " * (-len(text) % _ALIGNED)

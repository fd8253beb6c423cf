"""Masks of one bit an element: packed, and unpacked to the factors they stand for.

On a CPU numpy does both, in a fraction of torch's time.
"""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 1 << 17  # elements at once on a CPU: what is unpacked of them stays in its cache
GATHER = 0x0102040810204080  # times eight bytes of 0 or 1: their bits in the highest byte
IN_NUMPY = frozenset((torch.float32, torch.float64, torch.uint8))  # which has no bfloat16


def pack(mask: Tensor) -> Tensor:
    """A bool tensor of n elements as ceil(n / 8) bytes, the first element in the lowest bit."""
    flat = mask.flatten()
    if flat.is_cpu:
        return _packed(flat.numpy())
    if odd := -len(flat) % 8:
        flat = functional.pad(flat, (0, odd))
    return (flat.view(torch.int64) * GATHER >> 56).to(torch.uint8)


def pack_positive(x: Tensor) -> Tensor:
    """`pack(x > 0)`."""
    x = x.detach().view(-1)
    if x.is_cpu and x.dtype in IN_NUMPY:
        values = x.numpy()
        found = [_packed(values[part] > 0) for part in blocks(x)]
    else:
        found = [pack(x[part] > 0) for part in blocks(x)]
    return found[0] if len(found) == 1 else torch.cat(found)


def _packed(mask: np.ndarray) -> Tensor:
    return torch.from_numpy(np.packbits(mask, bitorder="little"))


def factors(
    bits: Tensor, scale: float, dtype: torch.dtype, start: int = 0, stop: int | None = None
) -> Tensor:
    """Bits `start` to `stop` as numbers of `dtype`: `scale` where a bit is set, else 0."""
    stop = 8 * len(bits) if stop is None else stop
    first, last = start // 8, -(-stop // 8)
    if bits.is_cpu and dtype in IN_NUMPY:
        taken = _bytes_table(scale, dtype).take(bits.numpy()[first:last])
        values = torch.from_numpy(taken.view(_numpy_dtype(dtype)))
    else:
        table = _table(scale, dtype, bits.device)
        values = functional.embedding(bits[first:last].int(), table).flatten()
    if stop - start == len(values):
        return values
    return values[start - 8 * first : stop - 8 * first]


def factor_blocks(bits: Tensor, scale: float, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """`(factors, *parts)` over the flat elements of `tensors`, which are as many, part by part.

    `factors` are in float32 at least; parts of a contiguous tensor can be written to.
    """
    dtype = exact(tensors[0].dtype)
    flat = [x.reshape(-1) for x in tensors]
    whole, *more = parts = blocks(flat[0])
    if not more:
        yield factors(bits, scale, dtype, whole.start, whole.stop), *flat
        return
    for part in parts:
        yield factors(bits, scale, dtype, part.start, part.stop), *(x[part] for x in flat)


def blocks(x: Tensor) -> list[slice]:
    """Slices that make up the flat elements of `x`: a CPU's cache at a time, a GPU's all at once.

    All but the last begin and end with a byte of packed bits.
    """
    count = x.numel()
    step = BLOCK if x.is_cpu else max(count, 1)
    return [slice(start, min(start + step, count)) for start in range(0, max(count, 1), step)]


@lru_cache(maxsize=16)
def exact(dtype: torch.dtype) -> torch.dtype:
    """What is computed exactly is in float32 at least."""
    return torch.promote_types(dtype, torch.float32)


@lru_cache(maxsize=16)
def _table(scale: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The eight factors of every byte, (256, 8)."""
    byte = torch.arange(256, device=device)[:, None]
    return (byte >> torch.arange(8, device=device) & 1).to(dtype) * scale


@lru_cache(maxsize=16)
def _bytes_table(scale: float, dtype: torch.dtype) -> np.ndarray:
    """`_table` on a CPU, a byte's factors as one element: they are copied at once."""
    rows = _table(scale, dtype, torch.device("cpu")).numpy()
    return rows.view(f"V{rows.strides[0]}").ravel()


def _numpy_dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")

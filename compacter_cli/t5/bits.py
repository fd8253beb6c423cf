"""Masks of one bit an element: packed, and unpacked to the factors they stand for."""

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

BLOCK = 1 << 17  # elements at once on a CPU: what is unpacked of them stays in its cache
GATHER = 0x0102040810204080  # times eight bytes of 0 or 1: their bits in the highest byte


def pack(mask: Tensor) -> Tensor:
    """A bool tensor of n elements as ceil(n / 8) bytes, the first element in the lowest bit."""
    flat = mask.flatten()
    if odd := -len(flat) % 8:
        flat = functional.pad(flat, (0, odd))
    return (flat.view(torch.int64) * GATHER >> 56).to(torch.uint8)


def factors(
    bits: Tensor, scale: float, dtype: torch.dtype, start: int = 0, stop: int | None = None
) -> Tensor:
    """Bits `start` to `stop` as numbers of `dtype`: `scale` where a bit is set, else 0."""
    stop = 8 * len(bits) if stop is None else stop
    first = start // 8
    table = _table(scale, dtype, bits.device)
    values = functional.embedding(bits[first : -(-stop // 8)].int(), table).flatten()
    return values[start - 8 * first : stop - 8 * first]


def factor_blocks(bits: Tensor, scale: float, x: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """`(slice, factors)` over the flat elements of `x`, in float32 at least, part by part."""
    dtype = torch.promote_types(x.dtype, torch.float32)
    for part in blocks(x):
        yield part, factors(bits, scale, dtype, part.start, part.stop)


def blocks(x: Tensor) -> list[slice]:
    """Slices that make up the flat elements of `x`: a CPU's cache at a time, a GPU's all at once.

    All but the last begin and end with a byte of packed bits.
    """
    count = x.numel()
    step = BLOCK if x.is_cpu else max(count, 1)
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


@lru_cache(maxsize=16)
def _table(scale: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The eight factors of every byte, (256, 8)."""
    byte = torch.arange(256, device=device)[:, None]
    return (byte >> torch.arange(8, device=device) & 1).to(dtype) * scale

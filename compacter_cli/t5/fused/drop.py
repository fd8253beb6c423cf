"""The dropout of one pass: by Triton's kernels on a GPU that has them, else by torch's own."""

from __future__ import annotations

import warnings
from functools import lru_cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional

from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.fused.draw import Draw
from compacter_cli.t5.fused.feed_forward import ReluDrop

SEEDS = 1 << 62


class Drops:
    """Dropout at the places of a pass, all drawn from torch's global generator of the device.

    For Triton's kernels that is one seed, drawn at the first place, which with a place's own number
    decides all: a place that is come to again, where a block runs a second time, has what it had.
    The first place must be outside such a block, which draws again all that it drew: each stack
    begins with one.

    Args:
        dropout: of the pass; `None` where nothing is dropped.
    """

    def __init__(self, dropout: Dropout | None) -> None:
        self._dropout = dropout
        self._seed: Tensor | None = None
        self._numbers: dict[str, int] = {}

    @property
    def rate(self) -> float:
        """0 where nothing is dropped."""
        return self._dropout.rate if self._dropout is not None else 0.0

    def drop(self, place: str, x: Tensor) -> Tensor:
        """`x` after the dropout of a place."""
        if not self.rate:
            return x
        if _in_triton(x):
            from compacter_cli.t5.fused.dropout_kernels import Drop

            return Drop.apply(x, self._draw(place, x.device))
        return functional.dropout(x, self.rate)

    def add_dropped(self, place: str, residual: Tensor, x: Tensor) -> Tensor:
        """`residual + drop(x)`."""
        if self.rate and _in_triton(x) and residual.dtype == x.dtype:
            from compacter_cli.t5.fused.dropout_kernels import AddDropped

            return AddDropped.apply(residual, x, self._draw(place, x.device))
        return residual + self.drop(place, x)

    def relu_drop(self, place: str, x: Tensor, keep: bool) -> Tensor:
        """`drop(relu(x))`; `keep` as for `ReluDrop`."""
        if _in_triton(x):
            from compacter_cli.t5.fused.dropout_kernels import ReluDrop as TritonReluDrop

            draw = self._draw(place, x.device) if self.rate else None
            return TritonReluDrop.apply(x, draw, keep)
        return ReluDrop.apply(x, self.rate, keep)

    def _draw(self, place: str, device: torch.device) -> Draw:
        assert self._dropout is not None  # as the callers have asked
        if self._seed is None:
            self._seed = torch.randint(SEEDS, (), device=device)
        number = self._numbers.setdefault(place, len(self._numbers))
        return Draw(self._seed, number, self._dropout.dropped_levels, self._dropout.scale)


def _in_triton(x: Tensor) -> bool:
    """Whether Triton's kernels compute `x`."""
    if not (x.is_cuda and triton_works(x.device)):
        return False
    from compacter_cli.t5.fused.dropout_kernels import MOST_ELEMENTS

    return 0 < x.numel() <= MOST_ELEMENTS


@lru_cache(maxsize=16)
def triton_works(device: torch.device) -> bool:
    """Whether Triton is there and its kernels run on a device: it needs a C compiler for them."""
    if find_spec("triton") is None:
        return False
    x, seed = torch.ones(8, device=device), torch.zeros((), dtype=torch.int64, device=device)
    try:
        from compacter_cli.t5.fused.dropout_kernels import dropped

        dropped(x, None, Draw(seed, 0, 0, 1.0))
    except Exception as error:  # of Triton, the compiler or the driver: torch's own do the same
        warnings.warn(
            "Triton's kernels do not run here, so dropout is torch's own, which is slower and "
            f"keeps more: {str(error).partition(chr(10))[0] or type(error).__name__}",
            RuntimeWarning,
            stacklevel=2,
        )
        return False
    return True

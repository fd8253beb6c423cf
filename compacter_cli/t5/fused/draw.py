"""What decides the dropout of one place, for kernels that draw it."""

from typing import NamedTuple

from torch import Tensor


class Draw(NamedTuple):
    """What decides the dropout of one place.

    Attributes:
        seed: of the pass, int64 (), on the device.
        place: number of the place in the pass.
        dropped: of `LEVELS` that can be drawn, how many become 0.
        scale: of what is kept.
    """

    seed: Tensor
    place: int
    dropped: int
    scale: float

"""AdapterDrop: dense adapters, none in the lowest five blocks of either stack (section 5.1)."""

from typing import Literal

from pydantic import NonNegativeInt

from compacter_cli.methods.dense import DenseBottleneck


class AdapterDrop(DenseBottleneck):
    """`adapter` without its lowest blocks, from the beginning; nothing is dropped at random."""

    name: Literal["adapterdrop"] = "adapterdrop"
    dropped_blocks: NonNegativeInt = 5
    """How many of the lowest blocks of either stack get no adapter."""

    title = "AdapterDrop"

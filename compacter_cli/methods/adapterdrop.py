"""AdapterDrop: dense adapters, none in the lowest five blocks of either stack (section 5.1)."""

from typing import Literal

from compacter_cli.methods.dense import DenseBottleneck
from compacter_cli.section import CountFromZero


class AdapterDrop(DenseBottleneck):
    """`adapter` without its lowest blocks, from the beginning; nothing is dropped at random."""

    name: Literal["adapterdrop"] = "adapterdrop"
    dropped_blocks: CountFromZero = 5
    """How many of the lowest blocks of either stack get no adapter."""

    title = "AdapterDrop"

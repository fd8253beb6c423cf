"""Houlsby's adapters: dense bottlenecks after self-attention and feed-forward (section 2.2)."""

from typing import Literal

from compacter_cli.methods.dense import DenseBottleneck


class Adapter(DenseBottleneck):
    """Dense down- and up-projections: 2L(2kd) weights for L blocks of both stacks (section 4)."""

    name: Literal["adapter"] = "adapter"

    title = "Adapter"

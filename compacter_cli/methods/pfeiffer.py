"""Pfeiffer's adapters: dense bottlenecks after self-attention alone (section 5.1)."""

from typing import Literal

from compacter_cli.methods.bottleneck import After
from compacter_cli.methods.dense import DenseBottleneck


class Pfeiffer(DenseBottleneck):
    """Half of `adapter`: the paper found the place after self-attention to do best.

    Other libraries mean the place after the feed-forward by this name: `after = "feed_forward"`.
    """

    name: Literal["pfeiffer"] = "pfeiffer"
    after: After = "self_attention"
    """Which sub-layers get an adapter; both are self_attention and feed_forward."""

    title = "Pfeiffer-Adapter"
    searched_rate = 1e-3

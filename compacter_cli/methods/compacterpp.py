"""Compacter++: Compacter without the layer after self-attention (section 5.2)."""

from typing import Literal

from compacter_cli.methods.bottleneck import After
from compacter_cli.methods.hypercomplex import LowRankHypercomplex


class CompacterPP(LowRankHypercomplex):
    """Low-rank hypercomplex projections after the feed-forward alone: 2L(k + d) + n^3."""

    name: Literal["compacterpp"] = "compacterpp"
    after: After = "feed_forward"
    """Which sub-layers get an adapter; both are self_attention and feed_forward."""

    title = "Compacter++"
    searched_rate = 1.6e-2

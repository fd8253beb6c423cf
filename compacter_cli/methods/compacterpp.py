"""Compacter++: Compacter without the layer after self-attention (section 5.2)."""

from typing import Literal

from compacter_cli.methods.bottleneck import Hypercomplex


class CompacterPP(Hypercomplex):
    """Low-rank hypercomplex projections after the feed-forward alone: 2L(k + d) + n^3."""

    name: Literal["compacterpp"] = "compacterpp"

    title = "Compacter++"
    sublayers = ("feed_forward",)

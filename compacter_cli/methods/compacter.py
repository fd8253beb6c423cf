"""Compacter: LPHM bottlenecks after self-attention and feed-forward (section 3.2)."""

from typing import Literal

from compacter_cli.methods.hypercomplex import LowRankHypercomplex


class Compacter(LowRankHypercomplex):
    """Low-rank hypercomplex projections, one rule for the model: 4L(k + d) + n^3 (section 4)."""

    name: Literal["compacter"] = "compacter"

    title = "Compacter"

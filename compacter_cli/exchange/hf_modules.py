"""What Hugging Face's T5 calls its modules, by structural name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from compacter_cli.t5.shapes import T5Shape

ATTENTION = {"query": "q", "key": "k", "value": "v", "output": "o"}
_INNER = {
    "self_attention": "SelfAttention",
    "cross_attention": "EncDecAttention",
    "feed_forward": "DenseReluDense",
}


def feed_forward_names(gated: bool) -> dict[str, str]:
    """What the feed-forward's projections are called; of a gated one `wi_1` is the gate."""
    inputs = {"input": "wi_0", "gate": "wi_1"} if gated else {"input": "wi"}
    return {**inputs, "output": "wo"}


def module_of(name: str, gated: bool) -> str:
    """The module of a sub-layer, projection or layer norm, or `lm_head` of the head.

    `encoder.0.feed_forward.input` is `encoder.block.0.layer.1.DenseReluDense.wi`, and
    `encoder.0.feed_forward` `encoder.block.0.layer.1`.
    """
    if name == "head":
        return "lm_head"
    stack, *within = name.split(".")
    if within == ["layer_norm"]:
        return f"{stack}.final_layer_norm"
    block, sublayer, *role = within
    owner = f"{stack}.block.{block}.layer.{_number(stack, sublayer)}"
    if not role:
        return owner
    if role == ["layer_norm"]:
        return f"{owner}.layer_norm"
    called = feed_forward_names(gated) if sublayer == "feed_forward" else ATTENTION
    return f"{owner}.{_INNER[sublayer]}.{called[role[0]]}"


def _number(stack: str, sublayer: str) -> int:
    """Of a sub-layer in its block: only the decoder's have cross-attention."""
    if sublayer == "feed_forward":
        return 1 if stack == "encoder" else 2
    return ("self_attention", "cross_attention").index(sublayer)


def projections(shape: T5Shape) -> dict[str, str]:
    """The structural name of every projection, by its module."""
    return {module_of(name, shape.gated): name for name in shape.projections()}

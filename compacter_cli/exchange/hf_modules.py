"""What Hugging Face's T5 calls its modules, by structural name."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from compacter_cli.methods.delta import role_of
from compacter_cli.t5.hf_weights import names_of

if TYPE_CHECKING:
    from compacter_cli.t5.shapes import T5Shape

_names = lru_cache(maxsize=8)(names_of)


def module_of(name: str, shape: T5Shape) -> str:
    """The module of a projection, layer norm, head or sub-layer of a T5 of dimensions `shape`.

    `encoder.0.feed_forward.output` is `encoder.block.0.layer.1.DenseReluDense.wo`, and
    `encoder.0.feed_forward` is `encoder.block.0.layer.1`.
    """
    names = _names(shape)
    if name in names:
        return names[name].removesuffix(".weight")
    return names[f"{name}.layer_norm"].removesuffix(".layer_norm.weight")


def projections(shape: T5Shape) -> dict[str, str]:
    """The structural name of every projection, by its module."""
    return {module_of(name, shape): name for name in shape.projections()}


def modules_of_roles(shape: T5Shape) -> dict[str, str]:
    """The last part of a module's name, by what a recipe calls its projection."""
    return {role_of(name): module.rpartition(".")[2] for module, name in projections(shape).items()}

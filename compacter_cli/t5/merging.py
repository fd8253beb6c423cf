"""A method's linear changes folded into the weights: the plain T5 that computes the same.

k inputs, d outputs
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from compacter_cli.errors import UsageError
from compacter_cli.t5.changes import PROJECTIONS
from compacter_cli.t5.placement import backbone_weights

if TYPE_CHECKING:
    from keras_hub.models import T5Backbone
    from torch import Tensor

    from compacter_cli.t5.model import T5Model
    from compacter_cli.t5.parts import Linear, Parts
    from compacter_cli.t5.shapes import T5Shape

FOLDED = ("delta", "scale", "shared", "weight")  # the kinds that are linear
_REFUSED = {
    "bias": "biases, for which a plain T5 has no place",
    "bottleneck": "bottleneck adapters, which are not linear",
    "prompt": "a prompt, for which a plain T5 has no place",
}


def fold(model: T5Model) -> tuple[T5Backbone, set[str]]:
    """Make of a model's own backbone, in float32, a plain T5 that computes what the model computes.

    A weight at a time: there is no second backbone in memory, but where the model's head is a
    trained copy of a tied embedding. That makes another backbone, an untied one.

    Args:
        model: is of no use afterwards.

    Returns:
        The backbone, and the structural names of the weights that are others now.

    Raises:
        UsageError: the model's method adds what no weight of a T5 can hold.
        ValueError: the model computes in another precision than float32.
    """
    check_foldable(model)
    if model.compute_dtype != "float32":
        raise ValueError(f"weights are folded in float32. Received: {model.compute_dtype}")
    changed = set()
    with torch.no_grad():
        parts, shape, backbone = model.forward_pass().parts, model.shape, model.backbone
        before = backbone_weights(backbone)
        if shape.tied and "head" in parts.weights:
            untied = {"dtype": "float32", "tie_embedding_weights": False}
            backbone = type(backbone).from_config({**backbone.get_config(), **untied})
        now = backbone_weights(backbone)
        for name, weight in folded_weights(parts, shape):
            if name not in before or not torch.equal(weight, before[name].value):
                changed.add(name)
            if name in changed or now[name] is not before[name]:
                now[name].assign(weight)
    return backbone, changed


def check_foldable(model: T5Model) -> None:
    """Raise `UsageError` where a kind of change in `model` is no change of a weight."""
    kind = next((kind for kind in model.kinds if kind not in FOLDED), None)
    if kind is None:
        return
    way_on = "answer with the run itself, by compacter predict or serve"
    if kind == "bottleneck":
        way_on += ", or put its layers into KerasHub's model by attach"
    way_on += "; what only adds to weights or scales them can be folded in, as LoRA does"
    what = _REFUSED.get(kind, f"layers of the kind {kind}")
    raise UsageError(f"no plain T5 can be made of this run: its method adds {what}", way_on)


def folded_weights(parts: Parts, shape: T5Shape) -> Iterator[tuple[str, Tensor]]:
    """The weights of a plain T5 of dimensions `shape`, by structural name, that `parts` amount to.

    A tied head's factor is a part of `head`, which only an untied T5 has.
    """
    for name, tensor in parts.weights.items():
        if name == "head":
            head, factor = parts.head(shape.hidden_dim, shape.tied)
            yield name, factor * head.table.T
        else:
            is_projection = name.rpartition(".")[2] in PROJECTIONS
            yield name, folded(parts.linear(name)) if is_projection else tensor


def folded(linear: Linear) -> Tensor:
    """The weight (k, d) that alone does what a projection without a bias does."""
    weight = linear.weight
    if linear.delta is not None:
        weight = weight + linear.delta.dense()
    if linear.before is not None:
        weight = linear.before[:, None] * weight
    return weight if linear.scale is None else weight * linear.scale

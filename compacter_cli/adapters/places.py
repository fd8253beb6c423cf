"""Where in KerasHub's own T5 the layers of a method go."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from compacter_cli.errors import UsageError
from compacter_cli.t5.placement import (
    HEAD,
    AdaptedProjection,
    BiasedEmbedding,
    BiasedProjection,
    FedProjection,
    SummedProjection,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    import keras

    from compacter_cli.methods.base import Method

How: TypeAlias = type[AdaptedProjection] | type[BiasedEmbedding]
"""How a layer is put there: what becomes of the backbone's own layer."""

_NO_PLACE = {
    "bias": "the last norm of a stack is a part of KerasHub's own graph",
    "bottleneck": "an adapter beside a sub-layer, or behind the sum with its residual, is fed "
    "what no projection gives out",
    "prompt": "a prompt stands before every source, and lengthens it",
    "weight": "it makes all weights anew in each pass",
}


def places_of(
    method: Method, layers: Mapping[str, keras.layers.Layer]
) -> dict[str, tuple[keras.layers.Layer, How]]:
    """Each layer of a method by the layer of the backbone that it is put to, and how.

    Raises:
        UsageError: there is no layer, or no place for one.
    """
    if not layers:
        raise UsageError(
            f"{method.name} adds nothing that could be attached",
            "leave attach() out: fit() of the model as it is trains everything",
        )
    places = {}
    for name, layer in layers.items():
        kind = str(getattr(layer, "kind", None))
        if kind == "shared":
            continue
        place = _place(name, kind)
        if place is None:
            why = _NO_PLACE.get(kind, f"a layer of the kind {kind}")
            raise UsageError(
                f"{method.name} has no place in KerasHub's own T5 with these settings: {why}",
                "compacter train, or train() in Python, trains it; a Predictor answers with it",
            )
        where, how = place
        places[where] = layer, how
    return places


def _place(name: str, kind: str) -> tuple[str, How] | None:
    """Where the layer called `name` goes, `None` where KerasHub's T5 has no place for it."""
    owner, _, role = name.rpartition(".")
    if kind == "bottleneck" and role == "adapter":
        return f"{owner}.output", AdaptedProjection
    if kind == "delta":
        return owner, SummedProjection
    if kind == "scale" and owner.endswith(".inner"):
        return f"{owner.removesuffix('inner')}output", FedProjection
    if kind == "scale":
        return owner, AdaptedProjection
    if kind == "bias":
        return _place_of_bias(name)
    return None


def _place_of_bias(name: str) -> tuple[str, How] | None:
    if name == HEAD:
        return name, BiasedEmbedding
    if name.endswith(".layer_norm"):
        of_block = name.count(".") > 1
        return (name, AdaptedProjection) if of_block else None
    return name, BiasedProjection

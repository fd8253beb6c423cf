"""Variables by structural name: those of layers, those that a method selects, and their values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import numpy as np
    from torch import Tensor


def named_variables(layers: Mapping[str, keras.layers.Layer]) -> dict[str, keras.Variable]:
    """Variables of `layers` by structural name; a layer that several share is named once.

    `layers` maps a structural name to a layer; a variable's name is its layer's, the attributes
    that lead to it, and its own: `encoder.3.feed_forward.adapter.down.s`.
    """
    import keras

    named, seen = {}, set()

    def walk(layer: keras.layers.Layer, prefix: str) -> None:
        if id(layer) in seen:
            return
        seen.add(id(layer))
        # Under torch a Keras layer keeps its sub-layers where torch modules do.
        for attribute, value in {**vars(layer), **vars(layer).get("_modules", {})}.items():
            if isinstance(value, keras.Variable):
                named[f"{prefix}.{value.name}"] = value
            elif isinstance(value, keras.layers.Layer):
                walk(value, f"{prefix}.{attribute}")

    for name, layer in layers.items():
        walk(layer, name)
    return named


def select(names: Collection[str], patterns: Collection[str]) -> list[str]:
    """Those of `names` that match a shell pattern of `patterns`, in their own order.

    Raises:
        ValueError: a pattern matches nothing; a silent miss would train less than declared.
    """
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f'the selector "{pattern}" matches no weight of the backbone')
    return [name for name in names if any(fnmatchcase(name, p) for p in patterns)]


def assign_all(
    variables: Mapping[str, keras.Variable], values: Mapping[str, Tensor | np.ndarray]
) -> None:
    """Set `variables` from `values`, all or none; errors as of `check_fit`."""
    check_fit(variables, values)
    for name, value in values.items():
        variables[name].assign(value)


def check_fit(
    variables: Mapping[str, keras.Variable | Tensor], values: Mapping[str, Tensor | np.ndarray]
) -> None:
    """Refuse `values` that are not those of `variables`.

    Raises:
        ValueError: the names differ, or a shape does.
    """
    if set(values) != set(variables):
        odd = sorted(set(values) ^ set(variables))
        raise ValueError(f"the weights are not this model's; first that differs: {odd[0]}")
    for name, value in values.items():
        found, expected = tuple(value.shape), tuple(variables[name].shape)
        if found != expected:
            raise ValueError(f"{name} has the shape {found}, expected {expected}")

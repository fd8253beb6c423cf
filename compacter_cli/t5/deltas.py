"""A method's deltas as plain tensors: those of one forward pass, made together.

L deltas of one shape, n division, r rank, n parts of p numbers of an input: k = n p
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TypeAlias

import keras
import torch
from compacter_layers import KroneckerDelta, LowRankDelta, LPHMDelta
from torch import Tensor

from compacter_cli.t5.parts import Delta, Kronecker, Thin

Factors: TypeAlias = tuple[Tensor, Tensor]


class Deltas:
    """The deltas among a method's layers: `bound` gives those of one forward pass.

    Variables are read once: Keras assigns to their tensors in place.

    Args:
        layers: a method's layers by the structural name of the projection that each changes.

    Raises:
        ValueError: a layer of the kind delta of which it is not known what it adds.
    """

    def __init__(self, layers: Mapping[str, keras.layers.Layer]) -> None:
        self._plain: dict[str, tuple[type[Thin | Kronecker], Factors, float]] = {}
        groups: dict[tuple[object, ...], dict[str, LPHMDelta]] = defaultdict(dict)
        for name, layer in layers.items():
            if isinstance(layer, LowRankDelta):
                self._plain[name] = Thin, (layer.A.value, layer.B.value), layer.scaling
            elif isinstance(layer, KroneckerDelta):
                self._plain[name] = Kronecker, (layer.A.value, layer.B.value), layer.scaling
            elif isinstance(layer, LPHMDelta):
                groups[id(layer.rule), tuple(layer.s.shape), tuple(layer.t.shape)][name] = layer
            else:
                raise ValueError(f"{name}: a {type(layer).__name__} is no delta that is known")
        self._stacks = [_Stack(group) for group in groups.values()]

    def bound(self, dtype: torch.dtype) -> dict[str, Delta]:
        """Every delta by the name of its projection, for inputs of `dtype`."""
        found: dict[str, Delta] = {
            name: kind(first.to(dtype), (scaling * second).to(dtype))
            for name, (kind, (first, second), scaling) in self._plain.items()
        }
        for stack in self._stacks:
            found |= stack.deltas(dtype)
        return found


class _Stack:
    """Low-rank hypercomplex deltas of one shape and one rule: those of L projections."""

    def __init__(self, layers: Mapping[str, LPHMDelta]) -> None:
        self._names = list(layers)
        self._rule = next(iter(layers.values())).rule.A.value
        self._s = [layer.s.value for layer in layers.values()]
        self._t = [layer.t.value for layer in layers.values()]

    def deltas(self, dtype: torch.dtype) -> dict[str, Delta]:
        """Two thin factors each: an input's parts through every s_i, and A mixed into every t_i."""
        s, t = torch.stack(self._s), torch.stack(self._t)  # (L, n, p, r) and (L, n, r, q)
        parts = torch.eye(len(self._rule), dtype=s.dtype, device=s.device)
        first = torch.einsum("ab,lipr->lapbir", parts, s).flatten(3).flatten(1, 2)
        second = torch.einsum("iac,lirq->laircq", self._rule, t).flatten(4).flatten(1, 3)
        pairs = zip(first.to(dtype).unbind(), second.to(dtype).unbind(), strict=True)
        return {name: Thin(*pair) for name, pair in zip(self._names, pairs, strict=True)}

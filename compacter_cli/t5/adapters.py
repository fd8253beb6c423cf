"""The bottleneck adapters of a model as plain tensors: a forward pass's kernels, built together.

Keras' operations, layer by layer, would cost a small model more than all its products.

L projections of one shape, n division, p x q of a factor, k x d = n p x n q of a kernel
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import keras
import torch
from compacter_layers import LowRankDense, LPHMDense, PHMDense, gelu_tanh
from torch import Tensor
from torch.nn import functional

Kernel: TypeAlias = tuple[Tensor, ...]  # a matrix, or the thin ones whose product it is
Function: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Projection:
    """`x @ kernel + bias`."""

    kernel: Kernel
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        *first, last = (part.to(x.dtype) for part in self.kernel)
        for thin in first:
            x = x @ thin
        if self.bias is None:
            return x @ last
        bias = self.bias.to(x.dtype)
        return torch.addmm(bias, x, last) if x.dim() == 2 else x @ last + bias


@dataclass(frozen=True)
class Adapter:
    """`up(activation(down(x))) + x`."""

    down: Function
    up: Function
    activation: Function

    def __call__(self, x: Tensor) -> Tensor:
        return self.branch(x) + x

    def branch(self, x: Tensor) -> Tensor:
        """What is added to `x`."""
        return self.up(self.activation(self.down(x)))


@dataclass(frozen=True)
class Stacked:
    """Adapters of one shape and activation.

    Attributes:
        down, up: of all, kernel (A, k, d) and bias (A, 1, d) or `None`.
        activation: theirs.
    """

    down: Projection
    up: Projection
    activation: Function

    @classmethod
    def of(cls, adapters: Sequence[Adapter]) -> Stacked | None:
        """Adapters as one, `None` where they differ, or a projection is not one kernel."""
        down, up = (_stacked([getattr(one, side) for one in adapters]) for side in ("down", "up"))
        if down is None or up is None or len({one.activation for one in adapters}) > 1:
            return None
        return cls(down, up, adapters[0].activation)

    def picked(self, numbers: Tensor) -> Adapter:
        """For rows (B, S, k), the first under the adapter of the first of `numbers` (B,) etc."""
        return Adapter(_picked(self.down, numbers), _picked(self.up, numbers), self.activation)


def _stacked(projections: Sequence[Function]) -> Projection | None:
    """Projections of one shape as one; `None` where they are not."""
    plain = [p for p in projections if isinstance(p, Projection) and len(p.kernel) == 1]
    given = [p.bias for p in plain if p.bias is not None]
    same = len({p.kernel[0].shape for p in plain}) == 1 and len(given) in (0, len(plain))
    if len(plain) < len(projections) or not same:
        return None
    bias = torch.stack(given)[:, None] if given else None
    return Projection((torch.stack([p.kernel[0] for p in plain]),), bias)


def _picked(projection: Projection, numbers: Tensor) -> Projection:
    bias = None if projection.bias is None else projection.bias.index_select(0, numbers)
    return Projection((projection.kernel[0].index_select(0, numbers),), bias)


class Adapters:
    """The adapters among a method's layers: `bound` gives those of one forward pass.

    Variables are read once: Keras assigns to their tensors in place.

    Args:
        layers: a method's bottlenecks by structural name.
    """

    def __init__(self, layers: Mapping[str, keras.layers.Layer]) -> None:
        self._layers = layers
        projections = [p for layer in self._layers.values() for p in (layer.down, layer.up)]
        self._plain = {p: kernel for p in projections if (kernel := _plain_kernel(p))}
        self._stacks = _stacks(projections)
        self._alone = {p: _stack([p]) for stack in self._stacks for p in stack.projections}
        known = [*self._plain, *self._alone]
        self._biases = {p: p.bias.value for p in known if p.bias is not None}

    def bound(self, dtype: torch.dtype, remat: bool = False) -> dict[str, Adapter]:
        """Every adapter by its layer's name, for inputs of `dtype`.

        With `remat` the kernels are built where they are used: built before, they would be kept.
        """
        kernels = dict(self._plain)
        for stack in () if remat else self._stacks:
            kernels |= stack.kernels(dtype)

        def function(projection: keras.layers.Layer) -> Function:
            bias = self._biases.get(projection)
            if projection in kernels:
                return Projection(kernels[projection], bias)
            alone = self._alone.get(projection)
            if alone is None:
                return projection.call
            return lambda x: Projection(alone.kernels(dtype)[projection], bias)(x)

        return {
            name: Adapter(function(layer.down), function(layer.up), _activation(layer))
            for name, layer in self._layers.items()
        }


@dataclass(frozen=True)
class _Stack:
    """Hypercomplex projections of one shape.

    Attributes:
        projections: their layers.
        rules: A of each, (n, n, n); a single one where they share it.
        factors: of each projection, what `B` is the product of: itself, or s and t.
    """

    projections: Sequence[LPHMDense | PHMDense]
    rules: list[Tensor]
    factors: list[Kernel]

    def kernels(self, dtype: torch.dtype) -> dict[keras.layers.Layer, Kernel]:
        """The kernel of each in `dtype`, the sum over i of A_i kron B_i."""
        first, *second = (torch.stack(parts) for parts in zip(*self.factors, strict=True))
        b = first @ second[0] if second else first
        w = torch.einsum("liac,lipq->lapcq", torch.stack(self.rules), b)
        kernels = w.flatten(3).flatten(1, 2).to(dtype).unbind()
        return {p: (kernel,) for p, kernel in zip(self.projections, kernels, strict=True)}


def _stacks(projections: Sequence[keras.layers.Layer]) -> list[_Stack]:
    alike: dict[Hashable, list[LPHMDense | PHMDense]] = defaultdict(list)
    for projection in projections:
        if isinstance(projection, LPHMDense | PHMDense) and not _contracts(projection):
            alike[tuple(tuple(part.shape) for part in _factors(projection))].append(projection)
    return [_stack(group) for group in alike.values()]


def _stack(projections: Sequence[LPHMDense | PHMDense]) -> _Stack:
    rules = {id(p.rule): p.rule.A.value for p in projections}
    each = [rules[id(p.rule)] for p in projections]
    shared = list(rules.values()) if len(rules) == 1 else each
    return _Stack(projections, shared, [_factors(p) for p in projections])


def _factors(projection: LPHMDense | PHMDense) -> Kernel:
    if isinstance(projection, PHMDense):
        return (projection.B.value,)
    return projection.s.value, projection.t.value


def _contracts(projection: LPHMDense | PHMDense) -> bool:
    if isinstance(projection, PHMDense):
        return False
    s = projection.s.value
    return projection.contracts(projection.n * s.shape[1], s.is_cpu)


def _plain_kernel(projection: keras.layers.Layer) -> Kernel:
    """The kernel of a layer that has it, or its factors, as variables; else nothing."""
    if isinstance(projection, keras.layers.Dense):
        return (projection.kernel.value,)
    if isinstance(projection, LowRankDense):
        return projection.s.value, projection.t.value
    return ()


def _activation(adapter: keras.layers.Layer) -> Function:
    return _gelu_tanh if adapter.activation is gelu_tanh else adapter.activation


def _gelu_tanh(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")

"""What one forward pass computes with: the T5's parts by structural name, as plain tensors.

k inputs, d outputs, H heads, D size of a head, M tokens of each head
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

from compacter_cli.t5.adapters import Adapter
from compacter_cli.t5.tokens import Tokens


def by_head(x: Tensor, heads: int) -> Tensor:
    """The columns of `x` (M, H D) by heads: (H, M, D)."""
    return x.view(len(x), heads, -1).transpose(0, 1)


class Thin(NamedTuple):
    """A delta of two thin factors, `x @ first @ second`.

    Attributes:
        first: (k, r).
        second: (r, d).
    """

    first: Tensor
    second: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.first @ self.second

    def of_heads(self, x: Tensor) -> Tensor:
        """What is added for each head's own inputs, (H, M, k), to its outputs: (H, M, D)."""
        return torch.bmm(x @ self.first, by_head(self.second, len(x)))

    def back(self, y: Tensor) -> Tensor:
        """Each head's vectors of outputs (H, M, D) through the delta transposed: (H, M, k)."""
        return torch.bmm(y, by_head(self.second, len(y)).mT) @ self.first.T

    def dense(self) -> Tensor:
        """As one matrix, (k, d)."""
        return self.first @ self.second


class Kronecker(NamedTuple):
    """A delta that is one Kronecker product, `x @ kron(left, right)`.

    Attributes:
        left: (a, c).
        right: (k/a, d/c).
    """

    left: Tensor
    right: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        (a, _), (b, _) = self.left.shape, self.right.shape
        by_right = (x.reshape(-1, b) @ self.right).view(len(x), a, -1)
        return (by_right.mT @ self.left).mT.flatten(1)

    def of_heads(self, x: Tensor) -> Tensor:
        """What is added for each head's own inputs, (H, M, k), to its outputs: (H, M, D)."""
        heads, tokens, _ = x.shape
        of_all = self(x.flatten(0, 1)).view(heads, tokens, heads, -1)
        return of_all.diagonal(dim1=0, dim2=2).permute(2, 0, 1)

    def back(self, y: Tensor) -> Tensor:
        """Each head's vectors of outputs (H, M, D) through the delta transposed: (H, M, k)."""
        among_zeros = torch.diag_embed(y.permute(1, 2, 0)).permute(2, 0, 3, 1)  # (H, M, H, D)
        transposed = Kronecker(self.left.T, self.right.T)
        return transposed(among_zeros.reshape(len(y) * y.shape[1], -1)).view(len(y), y.shape[1], -1)

    def dense(self) -> Tensor:
        """As one matrix, (k, d)."""
        return torch.kron(self.left, self.right)


Delta: TypeAlias = Thin | Kronecker
"""What is added to `x @ weight` for tokens x (N, k), of which no full matrix is made."""


class Linear(NamedTuple):
    """A projection, as an execution's kernels apply it to tokens.

    `((x * before) @ weight + delta(x * before) + bias) * scale`, of all that the weight only is
    always there.

    Attributes:
        weight: (k, d), in the dtype of the computation.
        bias: (d,), or `None`.
        delta: a method's change of the weight, or `None`.
        scale: of the outputs, (d,), or `None`.
        before: of the inputs, (k,), or `None`.
        segments: of one batch, the tokens that have changes of their own: the first, the one
            behind the last, and what is applied to them, of the same weight.
    """

    weight: Tensor
    bias: Tensor | None = None
    delta: Delta | None = None
    scale: Tensor | None = None
    before: Tensor | None = None
    segments: tuple[tuple[int, int, Linear], ...] = ()

    @property
    def changed(self) -> bool:
        """Whether it is more than a weight and a bias."""
        changes = self.delta, self.scale, self.before
        return bool(self.segments) or any(change is not None for change in changes)

    def fed(self, x: Tensor) -> Tensor:
        """What the product is taken of, for inputs (N, k)."""
        return x if self.before is None else x * self.before

    def with_changes(self, y: Tensor, added: Tensor | None) -> Tensor:
        """The product `y` (N, d) with what its delta adds, (N, d) or `None`, and scaled."""
        if added is not None:
            y = y + added
        return y if self.scale is None else y * self.scale


class Head(NamedTuple):
    """The output head, `x @ table.T + bias`: its table as a tied one is kept, the embedding's.

    Attributes:
        table: (V, k), in the dtype of the computation.
        bias: (V,), or `None`.
        segments: as a `Linear` has them; tables may differ.
    """

    table: Tensor
    bias: Tensor | None = None
    segments: tuple[tuple[int, int, Head], ...] = ()


class Norm(NamedTuple):
    """A layer norm: `weight * x / sqrt(mean(x^2) + epsilon) + bias`, taken in float32.

    Attributes:
        weight: (k,), float32.
        bias: (k,), or `None`.
        epsilon: added to the variance.
        of_tokens: weight and bias of each token, (N, k), where they have their own.
    """

    weight: Tensor
    bias: Tensor | None
    epsilon: float
    of_tokens: tuple[Tensor, Tensor | None] | None = None


class Prompt(Protocol):
    """Soft tokens before a source: `call` takes embeddings (B, S, k) to (B, length + S, k)."""

    length: int

    def call(self, inputs: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Parts:
    """A T5 as a method has changed it, for one forward pass.

    Attributes:
        weights: tensor of every weight by structural name, in the dtype of the computation, layer
            norms in float32. `<name>.bias` is behind the weight it is named after, and `head` the
            output head's own.
        adapters: bottleneck adapters by structural name.
        deltas: changes of projections' weights, by the name of the projection.
        scales: factors on what a projection gives, by its name; `<feed-forward>.inner` is on what
            the feed-forward's output projection is given.
        epsilon: of the layer norms.
        prompt: what stands before every source, if anything does.
    """

    weights: Mapping[str, Tensor]
    adapters: Mapping[str, Adapter]
    epsilon: float
    deltas: Mapping[str, Delta]
    scales: Mapping[str, Tensor]
    prompt: Prompt | None = None

    def over(self, source: Tokens | None = None, target: Tokens | None = None) -> Parts:
        """The parts for a pass over these tokens: here the same whatever they are."""
        return self

    def prompted(self, embedded: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Embedded sources (B, S, k) and their mask (B, S), behind the prompt if there is one."""
        if self.prompt is None:
            return embedded, mask
        return self.prompt.call(embedded), pad(mask, (self.prompt.length, 0), value=True)

    def linear(self, name: str) -> Linear:
        """The projection of a structural name."""
        bias, delta, scale = (
            self.weights.get(f"{name}.bias"),
            self.deltas.get(name),
            self.scales.get(name),
        )
        owner, _, role = name.rpartition(".")
        before = self.scales.get(f"{owner}.inner") if role == "output" else None
        return Linear(self.weights[name], bias, delta, scale, before)

    def norm(self, owner: str) -> Norm:
        """The layer norm of a stack or a sub-layer."""
        name = f"{owner}.layer_norm"
        return Norm(self.weights[name], self.weights.get(f"{name}.bias"), self.epsilon)

    def head(self, hidden_dim: int, tied: bool) -> tuple[Head, float]:
        """The output head, and the factor on what it is given: a tied one is scaled."""
        bias = self.weights.get("head.bias")
        if not tied:
            return Head(self.weights["head"].T, bias), 1.0
        # A tied head may have been given a copy of the embedding, to train.
        table = self.weights.get("head", self.weights["embedding"])
        return Head(table, bias), hidden_dim**-0.5

    def adapted(self, owner: str, x: Tensor, given: Callable[[], Tensor]) -> Tensor:
        """A sub-layer's output (N, k) with its bottleneck adapters, where it has any.

        `given` makes the normed input of the sub-layer, for the one that stands beside it.
        """
        if adapter := self.adapters.get(f"{owner}.adapter"):
            x = adapter(x)
        if parallel := self.adapters.get(f"{owner}.parallel_adapter"):
            x = x + parallel.branch(given())
        return x

    def adapted_sum(self, owner: str, x: Tensor) -> Tensor:
        """The sum (N, k) of a sub-layer and its residual, with the adapter behind it, if any."""
        adapter = self.adapters.get(f"{owner}.residual_adapter")
        return x if adapter is None else adapter(x)

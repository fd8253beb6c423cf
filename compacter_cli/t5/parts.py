"""What one forward pass computes with: the T5's parts by structural name, as plain tensors.

k inputs, d outputs
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from torch import Tensor

from compacter_cli.t5.adapters import Adapter


class Linear(NamedTuple):
    """A projection: `x @ weight + bias`, as an execution's kernels apply it to tokens.

    Attributes:
        weight: (k, d), in the dtype of the computation.
        bias: (d,), or `None`.
    """

    weight: Tensor
    bias: Tensor | None = None


class Norm(NamedTuple):
    """A layer norm: `weight * x / sqrt(mean(x^2) + epsilon) + bias`, taken in float32.

    Attributes:
        weight: (k,), float32.
        bias: (k,), or `None`.
        epsilon: added to the variance.
    """

    weight: Tensor
    bias: Tensor | None
    epsilon: float


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
        epsilon: of the layer norms.
        prompt: what stands before every source, if anything does.
    """

    weights: Mapping[str, Tensor]
    adapters: Mapping[str, Adapter]
    epsilon: float
    prompt: Prompt | None = None

    def linear(self, name: str) -> Linear:
        """The projection of a structural name."""
        return Linear(self.weights[name], self.weights.get(f"{name}.bias"))

    def norm(self, owner: str) -> Norm:
        """The layer norm of a stack or a sub-layer."""
        name = f"{owner}.layer_norm"
        return Norm(self.weights[name], self.weights.get(f"{name}.bias"), self.epsilon)

    def head(self, hidden_dim: int, tied: bool) -> tuple[Linear, float]:
        """The output head, and the factor on what it is given: a tied one is scaled."""
        bias = self.weights.get("head.bias")
        if not tied:
            return Linear(self.weights["head"], bias), 1.0
        # A tied head may have been given a copy of the embedding, to train.
        table = self.weights.get("head", self.weights["embedding"])
        return Linear(table.T, bias), hidden_dim**-0.5

    def adapted(self, owner: str, x: Tensor) -> Tensor:
        """A sub-layer's output (N, k) behind its bottleneck adapter, where it has one."""
        adapter = self.adapters.get(f"{owner}.adapter")
        return x if adapter is None else adapter(x)

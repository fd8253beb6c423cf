"""The fused forward pass: `T5Forward` with a GPU's kernels in the places of its own.

B batch, S source, T target, k hidden, H heads, D size of a head, F inner
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import keras
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from compacter_cli.t5.batch import Batch
from compacter_cli.t5.forward import Encoded, KeysValues, T5Forward
from compacter_cli.t5.fused.cross_attention import absorbed
from compacter_cli.t5.fused.feed_forward import ActivatedDrop, ReluDrop
from compacter_cli.t5.lean.cross_attention import absorbing_is_cheaper
from compacter_cli.t5.vocabulary import PAD

SOURCE_STEP, TARGET_STEP = 64, 8  # lengths are rounded up to multiples of these
ALIGNED = 8  # the fused attention reads its bias by so many elements at once
IGNORED = -100  # a label that the loss leaves out
# Not cuDNN's: with a mask its backward pass can give NaN (pytorch#196678).
KERNELS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


@dataclass(frozen=True)
class FusedForward(T5Forward):
    """`T5Forward` by other kernels: the same interface, and without dropout the same results.

    Dropout, padding included, is drawn from torch's global generator of the device: the shares
    kept are the same, but not the elements. The weights of layer norms are rounded to the dtype of
    the computation as all others are; sums are taken in float32.
    """

    draws_globally: ClassVar[bool] = True

    @staticmethod
    def sized(batch: Batch) -> Batch:
        """A batch padded to multiples of 64 source and 8 target tokens: few shapes, and aligned."""
        source = -batch.source_ids.shape[1] % SOURCE_STEP
        target = -batch.target_ids.shape[1] % TARGET_STEP
        return Batch(
            functional.pad(batch.source_ids, (0, source), value=PAD),
            functional.pad(batch.source_mask, (0, source), value=False),
            functional.pad(batch.target_ids, (0, target), value=PAD),
            functional.pad(batch.target_mask, (0, target), value=False),
        )

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        with _kernels():
            return super().encode(ids, mask)

    def decode(self, ids: Tensor, mask: Tensor, states: Tensor, source_mask: Tensor) -> Tensor:
        with _kernels():
            return super().decode(ids, mask, states, source_mask)

    def padded_loss(self, hidden: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        logits = self.logits(hidden).float().flatten(0, 1)
        labels = targets.masked_fill(~mask, IGNORED).flatten()
        return functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")

    @property
    def _rate(self) -> float:
        return self.dropout.rate if self.dropout is not None else 0.0

    def _drop(self, place: str, x: Tensor, real: Tensor | None) -> Tensor:
        return functional.dropout(x, self._rate) if self._rate else x

    def _norm(self, name: str, hidden: Tensor) -> Tensor:
        weight = self.weights[f"{name}.layer_norm"].to(hidden.dtype)
        normed = functional.rms_norm(hidden, hidden.shape[-1:], weight, self.epsilon)
        bias = self.weights.get(f"{name}.layer_norm.bias")
        return normed if bias is None else normed + bias.to(hidden.dtype)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        bias = self.weights.get(f"{name}.bias")
        if bias is None:
            return x @ self.weights[name]
        return torch.addmm(bias, x.flatten(0, -2), self.weights[name]).unflatten(0, x.shape[:-1])

    def _score_bias(self, stack: str, seen: Tensor, hidden: Tensor) -> Tensor:
        return _aligned(super()._score_bias(stack, seen, hidden))

    def _cross_states(
        self,
        name: str,
        hidden: Tensor,
        states: Tensor,
        bias: Tensor,
        mask: Tensor,
        source_mask: Tensor,
    ) -> Tensor:
        queries, keys = hidden.shape[1], states.shape[1]
        if not absorbing_is_cheaper(queries, keys, self.shape.key_value_dim):
            return super()._cross_states(name, hidden, states, bias, mask, source_mask)
        name = f"{name}.cross_attention"
        key, value = (
            (self.weights[f"{name}.{role}"], self.weights.get(f"{name}.{role}.bias"))
            for role in ("key", "value")
        )
        asked = self._linear(f"{name}.query", self._norm(name, hidden))
        context = absorbed(asked, states, key, value, bias, self.shape.num_heads, self._rate)
        attended = self._adapt(name, self._linear(f"{name}.output", context))
        return hidden + self._drop(name, attended, None)

    def _attend(
        self,
        name: str,
        x: Tensor,
        source: KeysValues,
        bias: Tensor,
        mask: Tensor | None,
        key_mask: Tensor | None,
    ) -> Tensor:
        keys, values = source[0].mT, source[1]
        if keys.stride(-1) != 1:  # as decoding keeps them, for one query, which gains nothing here
            return super()._attend(name, x, source, bias, mask, key_mask)
        queries = self._heads(self._linear(f"{name}.query", x))
        shape = (*queries.shape[:3], keys.shape[2])
        context = functional.scaled_dot_product_attention(
            queries, keys, values, bias.expand(shape), self._rate, scale=1.0
        )
        context = context.transpose(1, 2).flatten(2)
        return self._adapt(name, self._linear(f"{name}.output", context))

    def _inner(self, name: str, x: Tensor, mask: Tensor | None) -> Tensor:
        before = self._linear(f"{name}.input", x)
        trains = self.weights[f"{name}.output"].requires_grad
        if self.activation is keras.activations.relu and not self.shape.gated:
            return ReluDrop.apply(before, self._rate, trains)
        gate = self._linear(f"{name}.gate", x) if self.shape.gated else None
        return ActivatedDrop.apply(before, gate, self._rate, self.activation)

    def _adapt(self, name: str, x: Tensor) -> Tensor:
        # A matrix: torch adds the bias in the product's own kernel then.
        return super()._adapt(name, x.flatten(0, -2)).view_as(x)


@contextmanager
def _kernels() -> Iterator[None]:
    with sdpa_kernel(KERNELS):
        yield


def _aligned(bias: Tensor) -> Tensor:
    """A bias (..., K) whose rows begin where the fused attention can read them."""
    keys = bias.shape[-1]
    return functional.pad(bias, (0, -keys % ALIGNED)).contiguous()[..., :keys]

"""The fused kernels: `Kernels` by torch's own for a GPU.

N tokens, B batch, S source, T target, k hidden, H heads, D size of a head
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import ClassVar

import keras
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from compacter_cli.t5.absorbing import absorbing_is_cheaper
from compacter_cli.t5.batch import Batch
from compacter_cli.t5.fused.cross_attention import mixed
from compacter_cli.t5.fused.drop import Drops, triton_works
from compacter_cli.t5.fused.feed_forward import ActivatedDrop
from compacter_cli.t5.fused.self_attention import Made, RemadeAttention, can_be_remade
from compacter_cli.t5.kernels import Kernels, Scope
from compacter_cli.t5.parts import Linear, Norm
from compacter_cli.t5.tokens import Tokens
from compacter_cli.t5.vocabulary import PAD

SOURCE_STEP, TARGET_STEP = 64, 8  # lengths are rounded up to multiples of these
ALIGNED = 8  # the fused attention reads its bias by so many elements at once
IGNORED = -100  # a label that the loss leaves out
# Not cuDNN's: with a mask its backward pass can give NaN (pytorch#196678).
BACKENDS = [SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


class FusedKernels(Kernels):
    """`Kernels` that are few and large, and never wait: without dropout the same results.

    Dropout, padding included, is drawn from torch's global generator of the device: the shares
    kept are the same, but not the elements. The weights of layer norms are rounded to the dtype of
    the computation as all others are; sums are taken in float32.
    """

    draws_globally: ClassVar[bool] = True

    @staticmethod
    def stream(device: torch.device) -> str:
        return "triton" if device.type == "cuda" and triton_works(device) else "torch's own"

    @staticmethod
    def sized(batch: Batch) -> Batch:
        """A batch padded to multiples of 64 source and 8 target tokens: few shapes, and aligned."""
        source = -batch.source_ids.shape[1] % SOURCE_STEP
        target = -batch.target_ids.shape[1] % TARGET_STEP
        if not source and not target:
            return batch
        return Batch(
            functional.pad(batch.source_ids, (0, source), value=PAD),
            functional.pad(batch.source_mask, (0, source), value=False),
            functional.pad(batch.target_ids, (0, target), value=PAD),
            functional.pad(batch.target_mask, (0, target), value=False),
        )

    def within(self, tokens: Tokens, position: Tensor, causal: bool, dtype: torch.dtype) -> Scope:
        scope = super().within(tokens, position, causal, dtype)
        return Scope(tokens, tokens, _aligned(scope.bias))

    def across(self, queries: Tokens, keys: Tokens, dtype: torch.dtype) -> Scope:
        scope = super().across(queries, keys, dtype)
        return Scope(queries, keys, _aligned(scope.bias))

    def _norm(self, norm: Norm, x: Tensor) -> Tensor:
        normed = functional.rms_norm(x, x.shape[-1:], norm.weight.to(x.dtype), norm.epsilon)
        return normed if norm.bias is None else normed + norm.bias.to(x.dtype)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return x @ weight if bias is None else torch.addmm(bias, x, weight)

    def attention(
        self, place: str, queries: Tensor, keys: Tensor, values: Tensor, scope: Scope
    ) -> Tensor:
        return self._attended(self._by_heads(queries, keys, values, scope), scope)

    def self_attention(
        self, place: str, norm: Norm, x: Tensor, linears: Sequence[Linear], scope: Scope
    ) -> Tensor:
        def make(x: Tensor) -> Made:
            queries, keys, values = self.normed(norm, x, *linears)
            return self._by_heads(queries, keys, values, scope)

        made = make(x)
        bias = _expanded(scope.bias, made)
        if not can_be_remade(made, bias, self._drops.rate):
            return self._attended(made, scope)
        return _by_token(RemadeAttention.apply(*made, bias, x.detach(), make, self._drops.rate))

    def absorbs(self, target: int, source: int) -> bool:
        return absorbing_is_cheaper(target, source, self.head_size)

    def mix(
        self, place: str, states: Tensor, scope: Scope, taken: Tensor, constant: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        assert scope.bias is not None  # as `across` gives it
        return mixed(taken, constant, states, scope.bias[:, 0], self._drops.rate)

    def feed_forward(
        self, place: str, x: Tensor, w_in: Linear, gate: Linear | None, out: Linear, tokens: Tokens
    ) -> Tensor:
        before = self.linear(w_in, x)
        if self.activation is keras.activations.relu and gate is None:
            kept = out.weight.requires_grad or bool(out.delta) or out.before is not None
            inner = self._drops.relu_drop(f"{place}.inner", before, kept)
        else:
            beside = None if gate is None else self.linear(gate, x)
            inner = ActivatedDrop.apply(before, beside, self._drops.rate, self.activation)
        return self.linear(out, inner)

    def drop(self, place: str, x: Tensor, tokens: Tokens) -> Tensor:
        return self._drops.drop(place, x)

    def add_dropped(self, place: str, residual: Tensor, x: Tensor, tokens: Tokens) -> Tensor:
        return self._drops.add_dropped(place, residual, x)

    def labelled(self, hidden: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        # Choosing the real ones would wait for the device, to know how many they are.
        return hidden.flatten(0, 1), targets.masked_fill(~mask, IGNORED).flatten()

    @cached_property
    def _drops(self) -> Drops:
        return Drops(self.dropout)

    def _by_heads(self, queries: Tensor, keys: Tensor, values: Tensor, scope: Scope) -> Made:
        rows = len(scope.queries.mask)
        return self.by_head(queries, rows), self.by_head(keys, rows), self.by_head(values, rows)

    def _attended(self, made: Made, scope: Scope) -> Tensor:
        """Attention of queries to keys and values by head, as tokens (N, H D)."""
        q, k, v = made
        bias = _expanded(scope.bias, made)
        with sdpa_kernel(BACKENDS):
            context = functional.scaled_dot_product_attention(
                q, k, v, bias, self._drops.rate, scale=1.0
            )
        return _by_token(context)


def _expanded(bias: Tensor | None, made: Made) -> Tensor:
    """A bias as that of all pairs of queries and keys, (B, H, Q, K)."""
    assert bias is not None  # as `within` and `across` give it
    queries, keys, _ = made
    return bias.expand(*queries.shape[:3], keys.shape[2])


def _by_token(context: Tensor) -> Tensor:
    """(B, H, Q, D) to (B Q, H D)."""
    return context.transpose(1, 2).flatten(2).flatten(0, 1)


def _aligned(bias: Tensor | None) -> Tensor:
    """A bias (..., K) whose rows begin where the fused attention can read them."""
    assert bias is not None  # as the plain kernels give it
    keys = bias.shape[-1]
    return functional.pad(bias, (0, -keys % ALIGNED)).contiguous()[..., :keys]

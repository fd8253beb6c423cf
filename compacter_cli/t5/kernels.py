"""The kernels of a forward pass in plain torch: the oracle of the other sets.

    N tokens, B batch, Q and K lengths of queries and keys, T target, S source,
    k hidden, H heads, D size of a head, F inner, V vocabulary

Between embedding and output hidden states are flat, (N, k): here all tokens of all rows, padding
too; a set of kernels decides by its `tokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from compacter_cli.t5.absorbing import absorbed
from compacter_cli.t5.batch import Batch
from compacter_cli.t5.dropout import Dropout, stream_of
from compacter_cli.t5.parts import Head, Linear, Norm
from compacter_cli.t5.tokens import Tokens

MASKED = -1e9  # added to the scores of positions that must not be seen
KeysValues: TypeAlias = tuple[Tensor, Tensor]  # (B, H, D, S) and (B, H, S, D)


@dataclass(frozen=True)
class Scope:
    """Who attends to whom.

    Attributes:
        queries: tokens that attend.
        keys: tokens attended to, of as many rows.
        bias: what is added to the scores, (B or 1, H or 1, Q or 1, K); `None` where nothing is.
    """

    queries: Tokens
    keys: Tokens
    bias: Tensor | None


@dataclass(frozen=True)
class Kernels:
    """How the parts of one step are computed.

    Attributes:
        heads: number of heads H.
        head_size: D.
        activation: of the feed-forward.
        dropout: of this step; `None` outside training, and where the rate is 0.
    """

    heads: int
    head_size: int
    activation: Callable[[Tensor], Tensor]
    dropout: Dropout | None = None

    draws_globally: ClassVar[bool] = False
    """Whether dropout is drawn from torch's global generator, and not from a stream of its own."""

    @staticmethod
    def stream(device: torch.device) -> str:
        """Which stream dropout is drawn from on a device: one that goes on must draw the same."""
        return stream_of(device)

    @staticmethod
    def sized(batch: Batch) -> Batch:
        """A batch in the lengths that are computed: here its own."""
        return batch

    def tokens(self, mask: Tensor) -> Tokens:
        """The tokens of rows that are computed; `mask` (B, S) is true on the real ones."""
        return Tokens(mask, None)

    def within(self, tokens: Tokens, position: Tensor, causal: bool, dtype: torch.dtype) -> Scope:
        """Self-attention of a stack with bias of `position` (1, H, L, L); causal: only back."""
        seen = tokens.mask[:, None, None, :]
        if causal:
            length = tokens.mask.shape[1]
            seen = seen & torch.ones(length, length, dtype=torch.bool, device=seen.device).tril()
        return Scope(tokens, tokens, position + hiding(~seen, dtype))

    def across(self, queries: Tokens, keys: Tokens, dtype: torch.dtype) -> Scope:
        """Cross-attention of target tokens to source tokens."""
        return Scope(queries, keys, hiding(~keys.mask[:, None, None, :], dtype))

    def absorbs(self, target: int, source: int) -> bool:
        """Whether `target` queries are taken to `source` states, and no keys of them built."""
        return False

    def projected(self, scope: Scope) -> Tokens:
        """The tokens that the key and value projections of cross-attention are applied to."""
        queries = scope.queries.mask
        if self.absorbs(queries.shape[1], scope.keys.mask.shape[1]):
            return Tokens(queries, None)  # those of all places: see `absorbed`
        return scope.keys

    def keeps_states(self, target: int, source: int) -> bool:
        """Whether to decode `target` tokens over a source's states, or its keys and values."""
        return False

    def norm(self, norm: Norm, x: Tensor) -> Tensor:
        """T5's layer norm: no mean is taken, and the variance in float32."""
        if norm.of_tokens is None:
            return self._norm(norm, x)
        weight, bias = norm.of_tokens
        plain = Norm(torch.ones_like(norm.weight), None, norm.epsilon)
        y = self._norm(plain, x.float()) * weight
        return (y if bias is None else y + bias).to(x.dtype)

    def _norm(self, norm: Norm, x: Tensor) -> Tensor:
        """`norm` of one weight."""
        exact = x.float()
        scale = torch.rsqrt(exact.square().mean(-1, keepdim=True) + norm.epsilon)
        normed = norm.weight * (exact * scale)
        return (normed if norm.bias is None else normed + norm.bias).to(x.dtype)

    def embedded(self, ids: Tensor, table: Tensor, more: bool) -> Tensor:
        """Rows of `table` (V, k) for `ids` (...): (..., k).

        `more` tells that the pass also reads the table otherwise, and so gives it more gradients.
        """
        return functional.embedding(ids, table)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """`x @ weight + bias` for tokens (N, inputs)."""
        y = x @ weight
        return y if bias is None else y + bias

    def linear(self, linear: Linear, x: Tensor) -> Tensor:
        """A projection of tokens (N, inputs), with all that a method changes of it."""
        if linear.segments:
            return self._mixed(linear, x)
        x = linear.fed(x)
        added = None if linear.delta is None else linear.delta(x)
        return linear.with_changes(self.product(x, linear.weight, linear.bias), added)

    def _mixed(self, linear: Linear, x: Tensor) -> Tensor:
        """`linear` where some tokens have changes of their own: one product, changed in parts."""
        if any(own.before is not None for *_, own in linear.segments):
            x = x.clone()
            for first, end, own in linear.segments:
                x[first:end] = own.fed(x[first:end])
        y = self.product(x, linear.weight, None)
        for first, end, own in linear.segments:
            part, added = y[first:end], own.delta and own.delta(x[first:end])
            part = part if own.bias is None else part + own.bias
            y[first:end] = own.with_changes(part, added)
        return y

    def normed(self, norm: Norm, x: Tensor, *linears: Linear) -> tuple[Tensor, ...]:
        """Several projections of the same normed hidden states, none of which scales its inputs."""
        x = self.norm(norm, x)
        return tuple(self.linear(linear, x) for linear in linears)

    def attention(
        self, place: str, queries: Tensor, keys: Tensor, values: Tensor, scope: Scope
    ) -> Tensor:
        """Attention of `queries` (N, H D) to `keys` and `values` (M, H D): (N, H D)."""
        rows = len(scope.queries.mask)
        q, k, v = (self.by_head(x, rows) for x in (queries, keys, values))
        weights = attention_weights(q, k.mT, scope.bias)
        if self.dropout is not None:
            real = scope.queries.mask[:, None, :, None] & scope.keys.mask[:, None, None, :]
            weights = self._dropped(weights, f"{place}.shares", real)
        return (weights @ v).transpose(1, 2).flatten(2).flatten(0, 1)

    def self_attention(
        self, place: str, norm: Norm, x: Tensor, linears: Sequence[Linear], scope: Scope
    ) -> Tensor:
        """Attention of hidden states (N, k), normed, to themselves: (N, H D).

        `linears` make queries, keys and values of the normed states.
        """
        queries, keys, values = self.normed(norm, x, *linears)
        return self.attention(place, queries, keys, values, scope)

    def cross_attention(
        self, place: str, queries: Tensor, states: Tensor, key: Linear, value: Linear, scope: Scope
    ) -> Tensor:
        """Attention of `queries` (N, H D) to encoder `states` (B, S, k): (N, H D)."""
        if self.absorbs(scope.queries.mask.shape[1], states.shape[1]):
            mix = partial(self.mix, place, states, scope)
            return absorbed(queries, key, value, scope.queries, self.heads, mix)
        source = scope.keys.flatten(states)
        keys, values = self.linear(key, source), self.linear(value, source)
        return self.attention(place, queries, keys, values, scope)

    def mix(
        self, place: str, states: Tensor, scope: Scope, taken: Tensor, constant: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Attention to encoder `states` (B, S, k) themselves, where these kernels have it.

        Of queries `taken` to the states, (H, B T, k), with a `constant` (H, B T, 1) on their
        scores: what they mix of the states, (H, B T, k), and the sums of the attention weights,
        (H, B T, 1).
        """
        raise NotImplementedError

    def feed_forward(
        self, place: str, x: Tensor, w_in: Linear, gate: Linear | None, out: Linear, tokens: Tokens
    ) -> Tensor:
        """The feed-forward of normed hidden states (N, k), its inner elements dropped."""
        inner = self.activation(self.linear(w_in, x))
        if gate is not None:
            inner = inner * self.linear(gate, x)
        return self.linear(out, self.drop(f"{place}.inner", inner, tokens))

    def drop(self, place: str, x: Tensor, tokens: Tokens) -> Tensor:
        """Dropout over tokens (N, ...)."""
        if self.dropout is None:
            return x
        return self._dropped(x, place, tokens.mask.flatten()[:, None])

    def add_dropped(self, place: str, residual: Tensor, x: Tensor, tokens: Tokens) -> Tensor:
        """`residual + drop(x)`."""
        return residual + self.drop(place, x, tokens)

    def labelled(self, hidden: Tensor, targets: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """States (N, k) and their targets (N,), out of (B, T, k) and (B, T), padding left out."""
        real = Tokens.of(mask)
        return real.flatten(hidden), real.flatten(targets)

    def logits(self, head: Head, x: Tensor) -> Tensor:
        """The head's scores over the vocabulary, (..., k) to (..., V)."""
        y = functional.linear(x, head.table, head.bias)
        for first, end, own in head.segments:
            y[first:end] = functional.linear(x[first:end], own.table, own.bias)
        return y

    def loss(self, head: Head, x: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy of the head over `x` (N, k), summed, in float32."""
        logits = self.logits(head, x)
        return functional.cross_entropy(logits.float(), targets, reduction="sum")

    def by_head(self, x: Tensor, rows: int) -> Tensor:
        """Tokens of as many rows (B L, H D) by heads: (B, H, L, D)."""
        return x.view(rows, -1, self.heads, self.head_size).transpose(1, 2)

    def _dropped(self, x: Tensor, place: str, real: Tensor) -> Tensor:
        """Dropout over the elements of `x` that are true in `real`."""
        assert self.dropout is not None
        real = real.expand(x.shape)
        drawn = self.dropout.factors(place, int(real.sum()), x.device)
        factors = torch.zeros(x.shape, device=x.device).masked_scatter(real, drawn)
        return (x * factors).to(x.dtype)


def attention_weights(queries: Tensor, keys: Tensor, bias: Tensor | None) -> Tensor:
    """Of queries (B, H, Q, D) and keys (B, H, D, K): (B, H, Q, K). T5 does not scale the scores."""
    scores = queries @ keys
    if bias is not None:
        scores = scores + bias
    return scores.float().softmax(-1).to(queries.dtype)


def hiding(unseen: Tensor, dtype: torch.dtype) -> Tensor:
    """A bias of `unseen`'s shape that hides the positions where it is true."""
    return torch.zeros(unseen.shape, dtype=dtype, device=unseen.device).masked_fill(unseen, MASKED)

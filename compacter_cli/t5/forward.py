"""T5's forward pass in plain torch, over weights by structural name.

    B batch, S source, T target, k hidden, H heads, D size of a head, V vocabulary

`T5Model` gives it its weights and the layers of a method; KerasHub's own call is its oracle in the
tests, and it is that of the other executions, a CPU's (`t5.lean`) and a GPU's (`t5.fused`). Weights
are (inputs, outputs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias

import keras
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from compacter_cli.t5.adapters import Adapter
from compacter_cli.t5.batch import Batch
from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.shapes import RELATIVE_BUCKETS, T5Shape
from compacter_cli.t5.tokens import Tokens

MAX_DISTANCE = 128  # beyond it all relative positions share a bucket
MASKED = -1e9  # added to the scores of positions that must not be seen

Encoded: TypeAlias = tuple[Tensor, Tensor]  # states (B, S, k) and mask (B, S)
KeysValues: TypeAlias = tuple[Tensor, Tensor]  # (B, H, D, S) and (B, H, S, D)


@dataclass(frozen=True)
class T5Forward:
    """One step's view of a T5: its dimensions, its weights as tensors, and what a method adds.

    Attributes:
        shape: dimensions of the backbone.
        weights: tensor of every weight by structural name; layer norms are float32. `<name>.bias`
            is added behind the weight it is named after, and `head` is the output head's own.
        layers: Keras layers of the method by structural name; a prompt is called here.
        adapters: the method's adapters by structural name.
        activation: of the feed-forward.
        epsilon: of the layer norms.
        dropout: of this step; `None` outside training, and where the rate is 0.
        remat: keep only the blocks' inputs for the backward pass, and run them again in it.
    """

    shape: T5Shape
    weights: Mapping[str, Tensor]
    layers: Mapping[str, keras.layers.Layer]
    adapters: Mapping[str, Adapter]
    activation: Callable[[Tensor], Tensor]
    epsilon: float
    dropout: Dropout | None = None
    remat: bool = False

    draws_globally: ClassVar[bool] = False
    """Whether dropout is drawn from torch's global generator, and not from a stream of its own."""

    @staticmethod
    def sized(batch: Batch) -> Batch:
        """A batch in the lengths that are computed: here its own."""
        return batch

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """`(states, mask)` of source `ids` (B, S): (B, S, k) and what of it is real, (B, S).

        `mask` is true on real tokens. A prompt makes both longer by its own length.
        """
        hidden = self._embed(ids)
        if prompt := self.layers.get("prompt"):
            hidden = prompt.call(hidden)
            mask = functional.pad(mask, (prompt.length, 0), value=True)
        hidden = self._drop("encoder.embedding", hidden, mask)
        bias = self._score_bias("encoder", mask[:, None, None, :], hidden)
        for block in range(self.shape.num_layers):
            hidden = self._run(self._encoder_block, f"encoder.{block}", hidden, bias, mask)
        return self._drop("encoder.output", self._norm("encoder", hidden), mask), mask

    def decode(self, ids: Tensor, mask: Tensor, states: Tensor, source_mask: Tensor) -> Tensor:
        """Decoder states of target `ids` (B, T) over encoder `states` (B, S, k): (B, T, k)."""
        length = ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        seen = causal[None, None] & mask[:, None, None, :]
        hidden = self._drop("decoder.embedding", self._embed(ids), mask)
        bias = self._score_bias("decoder", seen, hidden)
        source_bias = _hide(~source_mask[:, None, None, :], hidden.dtype)
        source = states, source_bias, source_mask
        for block in range(self.shape.num_layers):
            hidden = self._run(self._decoder_block, f"decoder.{block}", hidden, bias, mask, *source)
        return self._drop("decoder.output", self._norm("decoder", hidden), mask)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary for decoder states: (..., k) to (..., V)."""
        return functional.linear(*self._head(hidden))

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy summed over decoder states (N, k) and their `targets` (N,), in float32."""
        return functional.cross_entropy(self.logits(hidden).float(), targets, reduction="sum")

    def padded_loss(self, hidden: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """`loss` over decoder states (B, T, k) whose targets (B, T) are real, `mask` true."""
        real = Tokens.of(mask)
        return self.loss(real.flatten(hidden), real.flatten(targets))

    def _head(self, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """`(input, table (V, k), bias or None)` of the output head."""
        bias = self.weights.get("head.bias")
        if not self.shape.tied:
            return hidden, self.weights["head"].T, bias
        # A tied head may have been given a copy of the embedding, to train.
        table = self.weights.get("head", self.weights["embedding"])
        return hidden * self.shape.hidden_dim**-0.5, table, bias

    def start_cache(self, states: Tensor, source_mask: Tensor, steps: int = 1) -> Cache:
        """The cache of greedy decoding: keys and values of `states`, none yet of the target.

        `steps` is how many tokens are expected; it may decide how the source is kept.
        """
        blocks = range(self.shape.num_layers)
        cross = [self._keys_values(f"decoder.{b}.cross_attention", states) for b in blocks]
        source_bias = _hide(~source_mask[:, None, None, :], states.dtype)
        return KeysValuesCache([None for _ in blocks], cross, source_bias)

    def step(self, ids: Tensor, cache: Cache) -> Tensor:
        """Decoder states of the next token, `ids` (B, 1), appended to `cache`: (B, 1, k)."""
        hidden = self._embed(ids)
        bias = self._self_bias("decoder", 1, cache.length + 1, first_query=cache.length)
        for block in range(self.shape.num_layers):
            name = f"decoder.{block}"
            hidden = self._self_attention(name, hidden, bias, past=(cache, block))
            hidden = self._cross_step(name, hidden, cache, block)
            hidden = self._feed_forward(name, hidden)
        return self._norm("decoder", hidden)

    def _run(self, block: Callable[..., Tensor], *inputs: Any) -> Tensor:
        if not (self.remat and torch.is_grad_enabled()):
            return block(*inputs)
        # A stream of dropout's own gives again what it gave: no generator's state has to be kept.
        keep = self.draws_globally and self.dropout is not None
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=keep)

    def _encoder_block(self, name: str, hidden: Tensor, bias: Tensor, mask: Tensor) -> Tensor:
        hidden = self._self_attention(name, hidden, bias, mask)
        return self._feed_forward(name, hidden, mask)

    def _decoder_block(
        self,
        name: str,
        hidden: Tensor,
        bias: Tensor,
        mask: Tensor,
        states: Tensor,
        source_bias: Tensor,
        source_mask: Tensor,
    ) -> Tensor:
        hidden = self._self_attention(name, hidden, bias, mask)
        hidden = self._cross_states(name, hidden, states, source_bias, mask, source_mask)
        return self._feed_forward(name, hidden, mask)

    def _cross_states(
        self,
        name: str,
        hidden: Tensor,
        states: Tensor,
        bias: Tensor,
        mask: Tensor,
        source_mask: Tensor,
    ) -> Tensor:
        """Cross-attention to encoder `states` (B, S, k), with its norm and residual."""
        source = self._keys_values(f"{name}.cross_attention", states)
        return self._cross_attention(name, hidden, source, bias, mask, source_mask)

    def _cross_step(self, name: str, hidden: Tensor, cache: Cache, block: int) -> Tensor:
        assert isinstance(cache, KeysValuesCache)  # as `start_cache` makes it
        return self._cross_attention(name, hidden, cache.cross[block], cache.source_bias)

    def _embed(self, ids: Tensor) -> Tensor:
        return functional.embedding(ids, self.weights["embedding"])

    def _norm(self, name: str, hidden: Tensor) -> Tensor:
        # T5's layer norm has no mean and no bias; its variance is taken in float32.
        exact = hidden.float()
        scale = torch.rsqrt(exact.square().mean(-1, keepdim=True) + self.epsilon)
        normed = self.weights[f"{name}.layer_norm"] * (exact * scale)
        bias = self.weights.get(f"{name}.layer_norm.bias")
        return (normed if bias is None else normed + bias).to(hidden.dtype)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        y = x @ self.weights[name]
        bias = self.weights.get(f"{name}.bias")
        return y if bias is None else y + bias

    def _drop(self, place: str, x: Tensor, real: Tensor | None) -> Tensor:
        """Dropout over the elements of `x` whose first axes are true in `real`."""
        if self.dropout is None:
            return x
        assert real is not None  # it is left out in decoding alone, where nothing is dropped
        real = real.reshape(*real.shape, *[1] * (x.dim() - real.dim())).expand(x.shape)
        drawn = self.dropout.factors(place, int(real.sum()), x.device)
        factors = torch.zeros(x.shape, device=x.device).masked_scatter(real, drawn)
        return (x * factors).to(x.dtype)

    def _self_attention(
        self,
        name: str,
        hidden: Tensor,
        bias: Tensor,
        mask: Tensor | None = None,
        past: tuple[Cache, int] | None = None,
    ) -> Tensor:
        """Self-attention with its norm and residual, to `past`, a cache and its block, too."""
        name = f"{name}.self_attention"
        x = self._norm(name, hidden)
        source = self._keys_values(name, x)
        if past is not None:
            cache, block = past
            source = cache.append(block, *source)
        attended = self._attend(name, x, source, bias, mask, mask)
        return hidden + self._drop(f"{name}.residual", attended, mask)

    def _cross_attention(
        self,
        name: str,
        hidden: Tensor,
        source: KeysValues,
        bias: Tensor,
        mask: Tensor | None = None,
        source_mask: Tensor | None = None,
    ) -> Tensor:
        name = f"{name}.cross_attention"
        x = self._norm(name, hidden)
        attended = self._attend(name, x, source, bias, mask, source_mask)
        return hidden + self._drop(f"{name}.residual", attended, mask)

    def _keys_values(self, name: str, x: Tensor) -> KeysValues:
        """Keys (B, H, D, S) and values (B, H, S, D) of `x` (B, S, k)."""
        keys = self._heads(self._linear(f"{name}.key", x))
        values = self._heads(self._linear(f"{name}.value", x))
        return keys.transpose(2, 3), values

    def _attend(
        self,
        name: str,
        x: Tensor,
        source: KeysValues,
        bias: Tensor,
        mask: Tensor | None,
        key_mask: Tensor | None,
    ) -> Tensor:
        queries = self._heads(self._linear(f"{name}.query", x))  # T5 does not scale the scores
        keys, values = source
        scores = queries @ keys + bias
        attention = scores.float().softmax(-1).to(x.dtype)
        if self.dropout is not None:
            assert mask is not None  # as in `_drop`
            assert key_mask is not None
            pairs = mask[:, None, :, None] & key_mask[:, None, None, :]
            # A place's name decides what is drawn there: it stays as it is.
            attention = self._drop(f"{name}.shares", attention, pairs.expand(attention.shape))
        context = (attention @ values).transpose(1, 2).flatten(2)
        return self._adapt(name, self._linear(f"{name}.output", context))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.shape.num_heads, -1)).transpose(1, 2)  # (B, H, length, D)

    def _feed_forward(self, name: str, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        name = f"{name}.feed_forward"
        inner = self._inner(name, self._norm(name, hidden), mask)
        x = self._adapt(name, self._linear(f"{name}.output", inner))
        return hidden + self._drop(f"{name}.residual", x, mask)

    def _inner(self, name: str, x: Tensor, mask: Tensor | None) -> Tensor:
        """The feed-forward's inner elements, dropped: (..., k) to (..., F)."""
        inner = self.activation(self._linear(f"{name}.input", x))
        if self.shape.gated:
            inner = inner * (self._linear(f"{name}.gate", x))
        return self._drop(f"{name}.inner", inner, mask)

    def _adapt(self, name: str, x: Tensor) -> Tensor:
        adapter = self.adapters.get(f"{name}.adapter")
        return x if adapter is None else adapter(x)

    def _score_bias(self, stack: str, seen: Tensor, hidden: Tensor) -> Tensor:
        """What self-attention's scores of a stack have added, in the dtype of `hidden` (B, L, k).

        Position bias, and what hides keys where `seen` (B, 1, 1 or L, L) is not true.
        """
        length = hidden.shape[1]
        return self._self_bias(stack, length, length) + _hide(~seen, hidden.dtype)

    def _self_bias(self, stack: str, queries: int, keys: int, first_query: int = 0) -> Tensor:
        """Relative position bias of a stack, (1, H, queries, keys); all its blocks share it."""
        table = self.weights[f"{stack}.0.self_attention.relative_bias"]
        buckets = _buckets(queries, keys, first_query, stack == "encoder", table.device)
        return functional.embedding(buckets, table).permute(2, 0, 1).unsqueeze(0)


@dataclass
class Cache:
    """What is kept while decoding token by token.

    Attributes:
        past: keys and values of the target so far, a pair a block; `None` before the first token.
    """

    past: list[KeysValues | None]

    @property
    def length(self) -> int:
        """Target tokens so far."""
        return 0 if self.past[0] is None else self.past[0][1].shape[2]

    def append(self, block: int, keys: Tensor, values: Tensor) -> KeysValues:
        """Add one token's keys and values to a block; returns all of them."""
        past = self.past[block]
        if past is not None:
            keys = torch.cat((past[0], keys), dim=3)
            values = torch.cat((past[1], values), dim=2)
        self.past[block] = (keys, values)
        return keys, values


@dataclass
class KeysValuesCache(Cache):
    """A `Cache` with keys and values of the source.

    Attributes:
        cross: keys and values of the encoder states, a pair a block.
        source_bias: hides the source's padding, (B, 1, 1, S).
    """

    cross: list[KeysValues]
    source_bias: Tensor


@lru_cache(maxsize=8)
def _buckets(
    queries: int, keys: int, first_query: int, both_ways: bool, device: torch.device
) -> Tensor:
    """The bucket of every query with every key, (queries, keys): the same for many a step."""
    positions = torch.arange(keys, device=device)
    distance = positions[None, :] - positions[first_query : first_query + queries, None]
    return relative_bucket(distance, both_ways)


def relative_bucket(distance: Tensor, both_ways: bool) -> Tensor:
    """T5's bucket of each `distance` (key position minus query position), integers.

    Half of the 32 buckets are exact small distances, the others grow logarithmically up to 128;
    the encoder looks both ways with 16 buckets each, the decoder only back.
    """
    buckets, offset = RELATIVE_BUCKETS, 0
    if both_ways:
        buckets //= 2
        offset = (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        distance = (-distance).clamp(min=0)
    exact = buckets // 2
    far = torch.log(distance.clamp(min=1).float() / exact) / math.log(MAX_DISTANCE / exact)
    far = (exact + (far * (buckets - exact)).long()).clamp(max=buckets - 1)
    return offset + torch.where(distance < exact, distance, far)


def _hide(unseen: Tensor, dtype: torch.dtype) -> Tensor:
    """A bias of `unseen`'s shape that hides the positions where it is true."""
    return torch.zeros(unseen.shape, dtype=dtype, device=unseen.device).masked_fill(unseen, MASKED)

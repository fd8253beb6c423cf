"""T5's forward pass in plain torch, over weights by structural name.

    B batch, S source, T target, k hidden, H heads, D size of a head, V vocabulary

`T5Model` gives it its weights and the layers of a method; KerasHub's own call is its oracle in the
tests, and it is that of the lean execution (`t5.lean`). Weights are (inputs, outputs).
"""

import math
from dataclasses import dataclass, field

import keras
import torch
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.shapes import RELATIVE_BUCKETS, T5Shape

MAX_DISTANCE = 128  # beyond it all relative positions share a bucket
MASKED = -1e9  # added to the scores of positions that must not be seen


@dataclass(frozen=True)
class T5Forward:
    """One step's view of a T5: its dimensions, its weights as tensors, and what a method adds.

    Attributes:
        shape: dimensions of the backbone.
        weights: tensor of every weight by structural name; layer norms are float32. `<name>.bias`
            is added behind the weight it is named after, and `head` is the output head's own.
        layers: Keras layers of the method by structural name: adapters and a prompt.
        activation: of the feed-forward.
        epsilon: of the layer norms.
        dropout: `Dropout` of this step; `None` outside training, and where the rate is 0.
        remat: keep only the blocks' inputs for the backward pass, and run them again in it.
    """

    shape: T5Shape
    weights: dict[str, torch.Tensor]
    layers: dict[str, object]
    activation: object
    epsilon: float
    dropout: Dropout | None = None
    remat: bool = False

    def encode(self, ids, mask):
        """`(states, mask)` of source `ids` (B, S): (B, S, k) and what of it is real, (B, S).

        `mask` is true on real tokens. A prompt makes both longer by its own length.
        """
        hidden = self._embed(ids)
        if prompt := self.layers.get("prompt"):
            hidden = prompt.call(hidden)
            mask = functional.pad(mask, (prompt.length, 0), value=True)
        hidden = self._drop("encoder.embedding", hidden, mask)
        length = hidden.shape[1]
        hidden_keys = _hide(~mask[:, None, None, :], hidden.dtype)
        bias = self._self_bias("encoder", length, length) + hidden_keys
        for block in range(self.shape.num_layers):
            hidden = self._run(self._encoder_block, f"encoder.{block}", hidden, bias, mask)
        return self._drop("encoder.output", self._norm("encoder", hidden), mask), mask

    def decode(self, ids, mask, states, source_mask):
        """Decoder states of target `ids` (B, T) over encoder `states` (B, S, k): (B, T, k)."""
        length = ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril()
        seen = causal[None, None] & mask[:, None, None, :]
        hidden = self._drop("decoder.embedding", self._embed(ids), mask)
        bias = self._self_bias("decoder", length, length) + _hide(~seen, hidden.dtype)
        source_bias = _hide(~source_mask[:, None, None, :], hidden.dtype)
        source = states, source_bias, source_mask
        for block in range(self.shape.num_layers):
            hidden = self._run(self._decoder_block, f"decoder.{block}", hidden, bias, mask, *source)
        return self._drop("decoder.output", self._norm("decoder", hidden), mask)

    def logits(self, hidden):
        """Scores over the vocabulary for decoder states: (..., k) to (..., V)."""
        return functional.linear(*self._head(hidden))

    def loss(self, hidden, targets):
        """Cross-entropy summed over decoder states (N, k) and their `targets` (N,), in float32."""
        return functional.cross_entropy(self.logits(hidden).float(), targets, reduction="sum")

    def _head(self, hidden):
        """`(input, table (V, k), bias or None)` of the output head."""
        bias = self.weights.get("head.bias")
        if not self.shape.tied:
            return hidden, self.weights["head"].T, bias
        # A tied head may have been given a copy of the embedding, to train.
        table = self.weights.get("head", self.weights["embedding"])
        return hidden * self.shape.hidden_dim**-0.5, table, bias

    def start_cache(self, states, source_mask, steps=1):
        """The cache of greedy decoding: keys and values of `states`, none yet of the target.

        `steps` is how many tokens are expected; it may decide how the source is kept.
        """
        blocks = range(self.shape.num_layers)
        cross = [self._keys_values(f"decoder.{b}.cross_attention", states) for b in blocks]
        source_bias = _hide(~source_mask[:, None, None, :], states.dtype)
        return Cache(cross, source_bias, [None for _ in blocks])

    def step(self, ids, cache):
        """Decoder states of the next token, `ids` (B, 1), appended to `cache`: (B, 1, k)."""
        hidden = self._embed(ids)
        bias = self._self_bias("decoder", 1, cache.length + 1, first_query=cache.length)
        for block in range(self.shape.num_layers):
            name = f"decoder.{block}"
            hidden = self._self_attention(name, hidden, bias, cache=cache, block=block)
            hidden = self._cross_step(name, hidden, cache, block)
            hidden = self._feed_forward(name, hidden)
        return self._norm("decoder", hidden)

    def _run(self, block, *inputs):
        if not (self.remat and torch.is_grad_enabled()):
            return block(*inputs)
        # Dropout is drawn from seeds of its own: no generator's state has to be kept.
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)

    def _encoder_block(self, name, hidden, bias, mask):
        hidden = self._self_attention(name, hidden, bias, mask)
        return self._feed_forward(name, hidden, mask)

    def _decoder_block(self, name, hidden, bias, mask, states, source_bias, source_mask):
        hidden = self._self_attention(name, hidden, bias, mask)
        keys, values = self._keys_values(f"{name}.cross_attention", states)
        source = keys, values, source_bias
        hidden = self._cross_attention(name, hidden, *source, mask, source_mask)
        return self._feed_forward(name, hidden, mask)

    def _cross_step(self, name, hidden, cache, block):
        return self._cross_attention(name, hidden, *cache.cross[block], cache.source_bias)

    def _embed(self, ids):
        return functional.embedding(ids, self.weights["embedding"])

    def _norm(self, name, hidden):
        # T5's layer norm has no mean and no bias; its variance is taken in float32.
        exact = hidden.float()
        scale = torch.rsqrt(exact.square().mean(-1, keepdim=True) + self.epsilon)
        normed = self.weights[f"{name}.layer_norm"] * (exact * scale)
        bias = self.weights.get(f"{name}.layer_norm.bias")
        return (normed if bias is None else normed + bias).to(hidden.dtype)

    def _linear(self, name, x):
        y = x @ self.weights[name]
        bias = self.weights.get(f"{name}.bias")
        return y if bias is None else y + bias

    def _drop(self, place, x, real):
        """Dropout over the elements of `x` whose first axes are true in `real`."""
        if self.dropout is None:
            return x
        real = real.reshape(*real.shape, *[1] * (x.dim() - real.dim())).expand(x.shape)
        drawn = self.dropout.factors(place, int(real.sum()), x.device)
        factors = torch.zeros(x.shape, device=x.device).masked_scatter(real, drawn)
        return (x * factors).to(x.dtype)

    def _self_attention(self, name, hidden, bias, mask=None, cache=None, block=None):
        name = f"{name}.self_attention"
        x = self._norm(name, hidden)
        keys, values = self._keys_values(name, x)
        if cache is not None:
            keys, values = cache.append(block, keys, values)
        mixed = self._attend(name, x, keys, values, bias, mask, mask)
        return hidden + self._drop(f"{name}.residual", mixed, mask)

    def _cross_attention(self, name, hidden, keys, values, bias, mask=None, source_mask=None):
        name = f"{name}.cross_attention"
        x = self._norm(name, hidden)
        mixed = self._attend(name, x, keys, values, bias, mask, source_mask)
        return hidden + self._drop(f"{name}.residual", mixed, mask)

    def _keys_values(self, name, x):
        """Keys (B, H, D, S) and values (B, H, S, D) of `x` (B, S, k)."""
        keys = self._heads(self._linear(f"{name}.key", x))
        values = self._heads(self._linear(f"{name}.value", x))
        return keys.transpose(2, 3), values

    def _attend(self, name, x, keys, values, bias, mask, key_mask):
        queries = self._heads(self._linear(f"{name}.query", x))  # T5 does not scale the scores
        scores = queries @ keys + bias
        shares = scores.float().softmax(-1).to(x.dtype)
        if self.dropout is not None:
            pairs = mask[:, None, :, None] & key_mask[:, None, None, :]
            shares = self._drop(f"{name}.shares", shares, pairs.expand(shares.shape))
        mixed = (shares @ values).transpose(1, 2).flatten(2)
        return self._adapt(name, self._linear(f"{name}.output", mixed))

    def _heads(self, x):
        return x.unflatten(-1, (self.shape.num_heads, -1)).transpose(1, 2)  # (B, H, length, D)

    def _feed_forward(self, name, hidden, mask=None):
        name = f"{name}.feed_forward"
        x = self._norm(name, hidden)
        inner = self.activation(self._linear(f"{name}.input", x))
        if self.shape.gated:
            inner = inner * (self._linear(f"{name}.gate", x))
        inner = self._drop(f"{name}.inner", inner, mask)
        x = self._adapt(name, self._linear(f"{name}.output", inner))
        return hidden + self._drop(f"{name}.residual", x, mask)

    def _adapt(self, name, x):
        adapter = self.layers.get(f"{name}.adapter")
        if adapter is None:
            return x
        inner = adapter.activation(_project(adapter.down, x))
        return _project(adapter.up, inner) + x

    def _self_bias(self, stack, queries, keys, first_query=0):
        """Relative position bias of a stack, (1, H, queries, keys); all its blocks share it."""
        table = self.weights[f"{stack}.0.self_attention.relative_bias"]
        positions = torch.arange(keys, device=table.device)
        distance = positions[None, :] - positions[first_query : first_query + queries, None]
        buckets = relative_bucket(distance, both_ways=stack == "encoder")
        return table[buckets].permute(2, 0, 1).unsqueeze(0)


@dataclass
class Cache:
    """Keys and values of every decoder block, kept while decoding token by token.

    Attributes:
        cross: (keys, values) of the encoder states, a pair a block.
        source_bias: hides the source's padding, (B, 1, 1, S).
        own: (keys, values) of the target so far, `None` before the first token.
    """

    cross: list
    source_bias: torch.Tensor
    own: list = field(default_factory=list)

    @property
    def length(self):
        """Target tokens so far."""
        return 0 if self.own[0] is None else self.own[0][1].shape[2]

    def append(self, block, keys, values):
        """Add one token's keys and values to a block; returns all of them."""
        if self.own[block] is not None:
            before_keys, before_values = self.own[block]
            keys = torch.cat((before_keys, keys), dim=3)
            values = torch.cat((before_values, values), dim=2)
        self.own[block] = (keys, values)
        return keys, values


def _project(layer, x):
    # Not layer(x): Keras' __call__ costs time and keeps tensors alive until the next collection.
    if isinstance(layer, keras.layers.Dense):
        return functional.linear(x, layer.kernel.value.T.to(x.dtype), layer.bias.value.to(x.dtype))
    return layer.call(x)


def relative_bucket(distance, both_ways):
    """T5's bucket of each `distance` (key position minus query position), an int tensor.

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


def _hide(unseen, dtype):
    """A bias of `unseen`'s shape that hides the positions where it is true."""
    return torch.zeros(unseen.shape, dtype=dtype, device=unseen.device).masked_fill(unseen, MASKED)

"""The lean forward pass: `T5Forward` over real tokens alone, through `compacter_cli.t5.lean`.

B batch, S source, T target, N real tokens, k hidden, H heads, D size of a head
"""

from dataclasses import dataclass
from functools import lru_cache

import keras
import torch
from torch import Tensor

from compacter_cli.t5.forward import Cache, Encoded, T5Forward
from compacter_cli.t5.lean.attention import MASKED, Attention
from compacter_cli.t5.lean.cross_attention import absorbed, absorbing_is_cheaper
from compacter_cli.t5.lean.drop import add_dropped, drop
from compacter_cli.t5.lean.feed_forward import ActivatedFeedForward, ReluFeedForward, linear
from compacter_cli.t5.lean.loss import FrozenHeadLoss
from compacter_cli.t5.lean.norm import Norm, NormedLinears
from compacter_cli.t5.lean.pairs import Pairs
from compacter_cli.t5.tokens import Tokens


@dataclass(frozen=True)
class LeanForward(T5Forward):
    """`T5Forward` by less work: the same interface, results and dropout, to rounding.

    A source of padding alone, which has nothing to attend to, stays finite here as there, but the
    two differ on it.

    Between embedding and output hidden states are (N, k): linears, norms, adapters and residuals
    never see padding.
    """

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        hidden, tokens = self._source(ids, mask)
        hidden = drop(hidden, self.dropout, "encoder.embedding")
        pairs = Pairs.of(tokens, tokens, self.shape.num_heads)
        length = tokens.mask.shape[1]
        bias = self._self_bias("encoder", length, length)
        for block in range(self.shape.num_layers):
            hidden = self._run(self._encoder_block_over, f"encoder.{block}", hidden, bias, pairs)
        hidden = drop(self._norm("encoder", hidden), self.dropout, "encoder.output")
        return tokens.pad(hidden), tokens.mask

    def decode(self, ids: Tensor, mask: Tensor, states: Tensor, source_mask: Tensor) -> Tensor:
        tokens, source = Tokens.of(mask), Tokens.of(source_mask)
        length = ids.shape[1]
        hidden = drop(self._embed(tokens.flatten(ids)), self.dropout, "decoder.embedding")
        bias = self._causal_bias(length)
        pairs = Pairs.of(tokens, tokens, self.shape.num_heads)
        cross = self._cross_pairs(tokens, source)
        for block in range(self.shape.num_layers):
            name = f"decoder.{block}"
            hidden = self._run(self._decoder_block_over, name, hidden, bias, pairs, states, cross)
        return tokens.pad(drop(self._norm("decoder", hidden), self.dropout, "decoder.output"))

    def loss(self, hidden: Tensor, targets: Tensor) -> Tensor:
        x, table, bias = self._head(hidden)
        if table.requires_grad:
            return super().loss(hidden, targets)
        return FrozenHeadLoss.apply(x, table, bias, targets)

    def start_cache(self, states: Tensor, source_mask: Tensor, steps: int = 1) -> Cache:
        if not self._absorbs(steps, states.shape[1]):
            return super().start_cache(states, source_mask, steps)
        rows = Tokens(source_mask[:, :1] | True, None)  # one query a row
        pairs = Pairs(rows, Tokens.of(source_mask), self.shape.num_heads)
        return StatesCache([None] * self.shape.num_layers, states, pairs)

    def _cross_step(self, name: str, hidden: Tensor, cache: Cache, block: int) -> Tensor:
        if not isinstance(cache, StatesCache):
            return super()._cross_step(name, hidden, cache, block)
        attended = self._cross_over(name, hidden.flatten(0, 1), cache.states, cache.pairs)
        return attended.view_as(hidden)

    def _source(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tokens]:
        """`(hidden states (N, k), Tokens)` of the source, behind the prompt where there is one."""
        prompt = self.layers.get("prompt")
        if prompt is None:
            tokens = Tokens.of(mask)
            return self._embed(tokens.flatten(ids)), tokens
        tokens = Tokens.of(torch.nn.functional.pad(mask, (prompt.length, 0), value=True))
        return tokens.flatten(prompt.call(self._embed(ids))), tokens

    def _causal_bias(self, length: int) -> Tensor:
        bias = self._self_bias("decoder", length, length)
        return bias.masked_fill(_ahead(length, bias.device), MASKED)

    def _absorbs(self, target: int, source: int) -> bool:
        return absorbing_is_cheaper(target, source, self.shape.key_value_dim)

    def _cross_pairs(self, tokens: Tokens, source: Tokens) -> Pairs:
        heads = self.shape.num_heads
        if self._absorbs(tokens.mask.shape[1], source.mask.shape[1]):
            return Pairs(tokens, source, heads)
        return Pairs.of(tokens, source, heads)

    def _encoder_block_over(self, name: str, hidden: Tensor, bias: Tensor, pairs: Pairs) -> Tensor:
        return self._feed_forward(name, self._self_over(name, hidden, bias, pairs))

    def _decoder_block_over(
        self,
        name: str,
        hidden: Tensor,
        bias: Tensor,
        pairs: Pairs,
        states: Tensor,
        cross: Pairs,
    ) -> Tensor:
        hidden = self._self_over(name, hidden, bias, pairs)
        hidden = self._cross_over(name, hidden, states, cross)
        return self._feed_forward(name, hidden)

    def _self_over(self, name: str, hidden: Tensor, bias: Tensor, pairs: Pairs) -> Tensor:
        """Self-attention with its norm and residual, (N, k) to (N, k)."""
        name = f"{name}.self_attention"
        queries, keys, values = self._normed(name, hidden, "query", "key", "value")
        context = self._attention(name, queries, keys, values, bias, pairs)
        return self._add_context(name, hidden, context)

    def _cross_over(self, name: str, hidden: Tensor, states: Tensor, pairs: Pairs) -> Tensor:
        """Cross-attention to `states` (B, S, k) with its norm and residual, (N, k) to (N, k)."""
        name = f"{name}.cross_attention"
        (queries,) = self._normed(name, hidden, "query")
        if self._absorbs(*pairs.shape[2:]):
            key, value = (
                (self.weights[f"{name}.{role}"], self.weights.get(f"{name}.{role}.bias"))
                for role in ("key", "value")
            )
            keep_mask = pairs.keep_mask(self.dropout, f"{name}.shares")
            context = absorbed(queries, states, key, value, pairs, keep_mask, self._scale)
        else:
            source = pairs.keys.flatten(states)
            keys, values = (self._linear(f"{name}.{role}", source) for role in ("key", "value"))
            context = self._attention(name, queries, keys, values, None, pairs)
        return self._add_context(name, hidden, context)

    def _attention(
        self,
        name: str,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        bias: Tensor | None,
        pairs: Pairs,
    ) -> Tensor:
        keep_mask = pairs.keep_mask(self.dropout, f"{name}.shares")
        return Attention.apply(queries, keys, values, bias, keep_mask, self._scale, pairs)

    def _add_context(self, name: str, hidden: Tensor, context: Tensor) -> Tensor:
        """The context that attention gave, projected, adapted and added to the residual."""
        x = self._adapt(name, self._linear(f"{name}.output", context))
        return add_dropped(hidden, x, self.dropout, f"{name}.residual")

    def _feed_forward(self, name: str, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        name = f"{name}.feed_forward"
        x = self._norm(name, hidden).flatten(0, -2)
        keep_mask = None
        if self.dropout is not None:
            count = len(x) * self.shape.intermediate_dim
            keep_mask = self.dropout.bits(f"{name}.inner", count, x.device)
        x = self._inner_output(name, x, keep_mask)
        if (bias := self.weights.get(f"{name}.output.bias")) is not None:
            x = x + bias
        x = self._adapt(name, x).view_as(hidden)
        return add_dropped(hidden, x, self.dropout, f"{name}.residual")

    def _inner_output(self, name: str, x: Tensor, keep_mask: Tensor | None) -> Tensor:
        get = self.weights.get
        w_in, b_in = get(f"{name}.input"), get(f"{name}.input.bias")
        w_out = get(f"{name}.output")
        if self.activation is keras.activations.relu and not self.shape.gated:
            return ReluFeedForward.apply(x, w_in, b_in, w_out, keep_mask, self._scale)
        gate = get(f"{name}.gate"), get(f"{name}.gate.bias")
        return ActivatedFeedForward.apply(
            x, w_in, b_in, *gate, w_out, keep_mask, self._scale, self.activation
        )

    @property
    def _scale(self) -> float:
        return self.dropout.scale if self.dropout is not None else 1.0

    def _normed(self, name: str, hidden: Tensor, *roles: str) -> tuple[Tensor, ...]:
        """The linears of these roles over normed hidden states (N, k)."""
        norm, get = f"{name}.layer_norm", self.weights.get
        pairs = [get(f"{name}.{role}{what}") for role in roles for what in ("", ".bias")]
        return NormedLinears.apply(
            hidden, self.weights[norm], get(f"{norm}.bias"), self.epsilon, *pairs
        )

    def _norm(self, name: str, hidden: Tensor) -> Tensor:
        weight = self.weights[f"{name}.layer_norm"]
        bias = self.weights.get(f"{name}.layer_norm.bias")
        return Norm.apply(hidden, weight, bias, self.epsilon)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return linear(x, self.weights[name], self.weights.get(f"{name}.bias"))


@lru_cache(maxsize=8)
def _ahead(length: int, device: torch.device) -> Tensor:
    """True on the keys behind a query, (length, length)."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)


@dataclass
class StatesCache(Cache):
    """A `Cache` without keys and values of the source: each step goes to its states themselves.

    Attributes:
        states: encoder states, (B, S, k).
        pairs: one query a row with the source's real tokens.
    """

    states: Tensor
    pairs: Pairs

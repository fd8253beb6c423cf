"""T5's forward pass: the one description of its encoder, decoder and decoding, over any kernels.

    N tokens, B batch, S source, T target, k hidden, H heads, D size of a head, V vocabulary

`T5Model` gives it the parts as a method has changed them, and a set of kernels: the plain ones
(`t5.kernels`), a CPU's (`t5.lean`) or a GPU's (`t5.fused`). KerasHub's own call is its oracle in
the tests. Weights are (inputs, outputs); between embedding and output, hidden states are (N, k).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from compacter_cli.t5.cache import Cache, KeysValuesCache, StatesCache
from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.kernels import Kernels, KeysValues, Scope, attention_weights, hiding
from compacter_cli.t5.parts import Head, Linear, Parts
from compacter_cli.t5.positions import buckets_between
from compacter_cli.t5.shapes import T5Shape
from compacter_cli.t5.tokens import Tokens

Encoded: TypeAlias = tuple[Tensor, Tensor]  # states (B, S, k) and mask (B, S)


@dataclass(frozen=True)
class T5Forward:
    """One step's view of a T5.

    Attributes:
        shape: dimensions of the backbone.
        parts: its weights, and what a method adds.
        kernels: how they are applied.
        remat: keep only the blocks' inputs for the backward pass, and run them again in it.
    """

    shape: T5Shape
    parts: Parts
    kernels: Kernels
    remat: bool = False

    @property
    def dropout(self) -> Dropout | None:
        """Of this step; `None` outside training, and where the rate is 0."""
        return self.kernels.dropout

    def encode(self, ids: Tensor, mask: Tensor) -> Encoded:
        """`(states, mask)` of source `ids` (B, S): (B, S, k) and what of it is real, (B, S).

        `mask` is true on real tokens. A prompt makes both longer by its own length.
        """
        hidden, tokens = self._source(ids, mask)
        here = self._over(source=tokens)
        hidden = self.kernels.drop("encoder.embedding", hidden, tokens)
        scope = self._self_scope("encoder", tokens, hidden.dtype)
        for block in range(self.shape.num_layers):
            hidden = self._run(here._encoder_block, f"encoder.{block}", hidden, scope)
        return tokens.pad(here._normed_output("encoder", hidden, tokens)), tokens.mask

    def decode(self, ids: Tensor, mask: Tensor, states: Tensor, source_mask: Tensor) -> Tensor:
        """Decoder states of target `ids` (B, T) over encoder `states` (B, S, k): (B, T, k)."""
        tokens = self.kernels.tokens(mask)
        hidden = self._embed(tokens.flatten(ids), more=True)
        hidden = self.kernels.drop("decoder.embedding", hidden, tokens)
        scope = self._self_scope("decoder", tokens, hidden.dtype)
        across = self.kernels.across(tokens, self.kernels.tokens(source_mask), hidden.dtype)
        here = self._over(source=self.kernels.projected(across), target=tokens)
        for block in range(self.shape.num_layers):
            name = f"decoder.{block}"
            hidden = self._run(here._decoder_block, name, hidden, scope, states, across)
        return tokens.pad(here._normed_output("decoder", hidden, tokens))

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary for decoder states: (..., k) to (..., V)."""
        return self.kernels.logits(*self._head(hidden))

    def loss(self, hidden: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Cross-entropy of decoder states (B, T, k) against `targets` (B, T), in float32.

        Summed over the targets on which `mask` is true.
        """
        hidden, targets = self.kernels.labelled(hidden, targets, mask)
        head, x = self._head(hidden)
        return self.kernels.loss(head, x, targets)

    def start_cache(self, states: Tensor, source_mask: Tensor, steps: int = 1) -> Cache:
        """The cache of greedy decoding over encoder `states` (B, S, k), no token decoded yet.

        `steps` is how many tokens are expected; it may decide how the source is kept.
        """
        past: list[KeysValues | None] = [None] * self.shape.num_layers
        if self.kernels.keeps_states(steps, states.shape[1]):
            queries = Tokens(source_mask[:, :1] | True, None)  # one a row
            scope = self.kernels.across(queries, self.kernels.tokens(source_mask), states.dtype)
            return StatesCache(past, states, scope)
        source_bias = hiding(~source_mask[:, None, None, :], states.dtype)
        here = self._over(source=Tokens(source_mask, None))  # padding too: the bias hides it
        cross = [here._source_keys_values(block, states) for block in range(self.shape.num_layers)]
        return KeysValuesCache(past, cross, source_bias)

    def step(self, ids: Tensor, cache: Cache) -> Tensor:
        """Decoder states of the next token, `ids` (B, 1), appended to `cache`: (B, 1, k)."""
        hidden = self._embed(ids[:, 0])
        tokens = Tokens(torch.ones_like(ids, dtype=torch.bool), None)
        bias = self._position_bias("decoder", 1, cache.length + 1, first_query=cache.length)
        here = self._over(source=tokens, target=tokens)  # of the source: see `projected`
        for block in range(self.shape.num_layers):
            name = f"decoder.{block}"
            hidden = here._self_step(f"{name}.self_attention", hidden, bias, cache, block, tokens)
            hidden = here._cross_step(f"{name}.cross_attention", hidden, cache, block, tokens)
            hidden = here._feed_forward(f"{name}.feed_forward", hidden, tokens)
        return self.kernels.norm(here.parts.norm("decoder"), hidden)[:, None]

    def _over(self, source: Tokens | None = None, target: Tokens | None = None) -> T5Forward:
        """This step's view, its parts for what of source and target they are applied to."""
        parts = self.parts.over(source, target)
        return self if parts is self.parts else replace(self, parts=parts)

    def _source(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tokens]:
        """Embedded tokens of the source, behind the prompt where there is one."""
        if self.parts.prompt is None:
            tokens = self.kernels.tokens(mask)
            return self._embed(tokens.flatten(ids), self._ties_head), tokens
        embedded, mask = self.parts.prompted(self._embed(ids, self._ties_head), mask)
        tokens = self.kernels.tokens(mask)
        return tokens.flatten(embedded), tokens

    def _normed_output(self, stack: str, hidden: Tensor, tokens: Tokens) -> Tensor:
        hidden = self.kernels.norm(self.parts.norm(stack), hidden)
        return self.kernels.drop(f"{stack}.output", hidden, tokens)

    def _head(self, hidden: Tensor) -> tuple[Head, Tensor]:
        """The output head, and what it is given for decoder states."""
        head, scale = self.parts.head(self.shape.hidden_dim, self.shape.tied)
        return head, hidden if scale == 1.0 else hidden * scale

    @property
    def _ties_head(self) -> bool:
        """Whether the head is the embedding itself."""
        return self.shape.tied and "head" not in self.parts.weights

    def _run(self, block: Callable[..., Tensor], *inputs: Any) -> Tensor:
        if not (self.remat and torch.is_grad_enabled()):
            return block(*inputs)
        # A stream of dropout's own gives again what it gave: no generator's state has to be kept.
        keep = self.kernels.draws_globally and self.dropout is not None
        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=keep)

    def _encoder_block(self, name: str, hidden: Tensor, scope: Scope) -> Tensor:
        hidden = self._self_attention(f"{name}.self_attention", hidden, scope)
        return self._feed_forward(f"{name}.feed_forward", hidden, scope.queries)

    def _decoder_block(
        self, name: str, hidden: Tensor, scope: Scope, states: Tensor, across: Scope
    ) -> Tensor:
        hidden = self._self_attention(f"{name}.self_attention", hidden, scope)
        hidden = self._cross_attention(f"{name}.cross_attention", hidden, states, across)
        return self._feed_forward(f"{name}.feed_forward", hidden, scope.queries)

    def _self_attention(self, name: str, hidden: Tensor, scope: Scope) -> Tensor:
        """Self-attention with its norm and residual, (N, k) to (N, k)."""
        linears = self._linears(name, "query", "key", "value")
        norm = self.parts.norm(name)
        context = self.kernels.self_attention(name, norm, hidden, linears, scope)
        return self._add_context(name, hidden, context, scope.queries)

    def _cross_attention(self, name: str, hidden: Tensor, states: Tensor, scope: Scope) -> Tensor:
        """Cross-attention to `states` (B, S, k) with its norm and residual, (N, k) to (N, k)."""
        queries = self._cross_queries(name, hidden)
        key, value = self._linears(name, "key", "value")
        context = self.kernels.cross_attention(name, queries, states, key, value, scope)
        return self._add_context(name, hidden, context, scope.queries)

    def _feed_forward(self, name: str, hidden: Tensor, tokens: Tokens) -> Tensor:
        """The feed-forward with its norm and residual, (N, k) to (N, k)."""
        x = self.kernels.norm(self.parts.norm(name), hidden)
        w_in, out = self._linears(name, "input", "output")
        gate = self.parts.linear(f"{name}.gate") if self.shape.gated else None
        inner = self.kernels.feed_forward(name, x, w_in, gate, out, tokens)
        return self._add(name, hidden, inner, lambda: x, tokens)

    def _self_step(
        self, name: str, hidden: Tensor, bias: Tensor, cache: Cache, block: int, tokens: Tokens
    ) -> Tensor:
        """Self-attention of one token a row to those before it, which `cache` keeps."""
        linears = self._linears(name, "query", "key", "value")
        queries, *keys_values = self.kernels.normed(self.parts.norm(name), hidden, *linears)
        keys, values = (self.kernels.by_head(x, len(x)) for x in keys_values)
        source = cache.append(block, keys.mT, values)
        return self._add_context(name, hidden, self._attended(queries, source, bias), tokens)

    def _cross_step(
        self, name: str, hidden: Tensor, cache: Cache, block: int, tokens: Tokens
    ) -> Tensor:
        if isinstance(cache, StatesCache):
            return self._cross_attention(name, hidden, cache.states, cache.scope)
        assert isinstance(cache, KeysValuesCache)  # as `start_cache` makes it
        queries, source = self._cross_queries(name, hidden), cache.cross[block]
        context = self._attended(queries, source, cache.source_bias)
        return self._add_context(name, hidden, context, tokens)

    def _attended(self, queries: Tensor, source: KeysValues, bias: Tensor) -> Tensor:
        """Attention of one query a row (B, H D) to keys and values by head: (B, H D)."""
        keys, values = source
        weights = attention_weights(self.kernels.by_head(queries, len(queries)), keys, bias)
        return (weights @ values).flatten(1)

    def _source_keys_values(self, block: int, states: Tensor) -> KeysValues:
        linears = self._linears(f"decoder.{block}.cross_attention", "key", "value")
        source = states.flatten(0, 1)
        keys, values = (
            self.kernels.by_head(self.kernels.linear(linear, source), len(states))
            for linear in linears
        )
        return keys.mT, values

    def _cross_queries(self, name: str, hidden: Tensor) -> Tensor:
        query = self.parts.linear(f"{name}.query")
        (queries,) = self.kernels.normed(self.parts.norm(name), hidden, query)
        return queries

    def _linears(self, name: str, *roles: str) -> list[Linear]:
        return [self.parts.linear(f"{name}.{role}") for role in roles]

    def _add_context(self, name: str, hidden: Tensor, context: Tensor, tokens: Tokens) -> Tensor:
        """The context that attention gave, projected, and added to the residual."""
        x = self.kernels.linear(self.parts.linear(f"{name}.output"), context)
        norm = self.parts.norm(name)
        return self._add(name, hidden, x, lambda: self.kernels.norm(norm, hidden), tokens)

    def _add(
        self, name: str, hidden: Tensor, x: Tensor, given: Callable[[], Tensor], tokens: Tokens
    ) -> Tensor:
        """What a sub-layer made of the input that `given` makes, adapted, added to the residual."""
        x = self.parts.adapted(name, x, given)
        x = self.kernels.add_dropped(f"{name}.residual", hidden, x, tokens)
        return self.parts.adapted_sum(name, x)

    def _embed(self, ids: Tensor, more: bool = False) -> Tensor:
        return self.kernels.embedded(ids, self.parts.weights["embedding"], more)

    def _self_scope(self, stack: str, tokens: Tokens, dtype: torch.dtype) -> Scope:
        length = tokens.mask.shape[1]
        position = self._position_bias(stack, length, length)
        return self.kernels.within(tokens, position, stack == "decoder", dtype)

    def _position_bias(self, stack: str, queries: int, keys: int, first_query: int = 0) -> Tensor:
        """Relative position bias of a stack, (1, H, queries, keys); all its blocks share it."""
        table = self.parts.weights[f"{stack}.0.self_attention.relative_bias"]
        # What is captured as a CUDA graph owns all that it reads, and lends none of its memory.
        captured = table.is_cuda and torch.cuda.is_current_stream_capturing()
        buckets_of = buckets_between.__wrapped__ if captured else buckets_between
        found = buckets_of(queries, keys, first_query, stack == "encoder", table.device)
        return functional.embedding(found, table).permute(2, 0, 1).unsqueeze(0)

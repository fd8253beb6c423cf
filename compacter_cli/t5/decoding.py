"""Answers to a batch of sources, token by token: what several begin with is computed once.

B batch, S source, k hidden, V vocabulary, C labels
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from compacter_cli.t5.vocabulary import END, PAD

if TYPE_CHECKING:
    from compacter_cli.t5.cache import Cache
    from compacter_cli.t5.forward import Encoded, T5Forward


class Decoding:
    """One batch of sources, encoded, to which answers are written or weighed.

    Args:
        forward: the pass that encoded them.
        encoded: states (B, S, k), and what of them is real, (B, S).
        steps: how many tokens are expected; it may decide how the source is kept.

    Attributes:
        rows: how many sources.
    """

    def __init__(self, forward: T5Forward, encoded: Encoded, steps: int) -> None:
        states, mask = encoded
        self._forward = forward
        self.rows, self._device = len(states), states.device
        with torch.no_grad():
            self._start = forward.start_cache(states, mask, steps)
        self._known: dict[tuple[int, ...], tuple[Tensor, Cache]] = {}

    @torch.no_grad()
    def greedy(self, max_tokens: int) -> Tensor:
        """Greedy answers: token ids (B, at most max_tokens).

        Positions after a row's end token are padding; decoding stops when every row has ended.
        """
        logits, begun = self._after(())
        cache = begun.fork()
        ended = torch.zeros(self.rows, 1, dtype=torch.bool, device=self._device)
        tokens = []
        while True:
            token = logits.argmax(-1, keepdim=True).masked_fill(ended, PAD)
            tokens.append(token)
            ended |= token == END
            if len(tokens) == max_tokens or ended.all():
                return torch.cat(tokens, dim=1)
            logits = self._step(token, cache)

    @torch.no_grad()
    def label_scores(self, labels: Sequence[Sequence[int]]) -> Tensor:
        """Log-probabilities (B, C) of C label texts, lists of token ids, end token included."""

        @cache
        def shares(*beginning: int) -> Tensor:
            return self._after(beginning)[0].float().log_softmax(-1)

        def score(label: Sequence[int]) -> Tensor:
            each = [shares(*label[:place])[:, token] for place, token in enumerate(label)]
            return torch.stack(each).sum(0)

        return torch.stack([score(label) for label in labels], dim=1)

    def _after(self, beginning: tuple[int, ...]) -> tuple[Tensor, Cache]:
        """Logits (B, V) of the token after `beginning`, the same for all rows, and its cache."""
        if beginning not in self._known:
            cache = (self._after(beginning[:-1])[1] if beginning else self._start).fork()
            last = beginning[-1] if beginning else PAD
            token = torch.full((self.rows, 1), last, dtype=torch.long, device=self._device)
            self._known[beginning] = self._step(token, cache), cache
        return self._known[beginning]

    def _step(self, token: Tensor, cache: Cache) -> Tensor:
        """Logits (B, V) of what follows `token` (B, 1), which is appended to `cache`."""
        return self._forward.logits(self._forward.step(token, cache)[:, 0])

"""Cross-attention of a few queries to encoder states themselves, in plain products.

B batch, T target, S source, k hidden, H heads
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from compacter_cli.t5.absorbing import heads_first, rows_first
from compacter_cli.t5.bits import exact


def mixed(
    taken: Tensor, constant: Tensor | None, states: Tensor, bias: Tensor, rate: float
) -> tuple[Tensor, Tensor]:
    """What queries mix of encoder `states`, (H, B T, k), and their weights' sums, (H, B T, 1).

    Args:
        taken: queries taken to the states, (H, B T, k).
        constant: what is added to the scores of each, (H, B T, 1), or `None`.
        states: encoder states, (B, S, k).
        bias: hides the source's padding, (B, 1, S).
        rate: of dropout on the attention weights.
    """
    rows, heads = len(states), len(taken)
    scores = torch.bmm(rows_first(taken, rows), states.mT) + bias  # (B, H T, S)
    if constant is not None:
        scores = scores + rows_first(constant, rows)
    shares = scores.to(exact(scores.dtype)).softmax(-1).to(states.dtype)
    if rate:
        shares = functional.dropout(shares, rate)
    context = torch.bmm(shares, states)
    return heads_first(context, heads), heads_first(shares.sum(-1, keepdim=True), heads)

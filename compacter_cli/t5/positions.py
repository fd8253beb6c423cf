"""T5's relative positions: which bucket of biases a query and a key have by their distance."""

import math
from functools import lru_cache

import torch
from torch import Tensor

from compacter_cli.t5.shapes import RELATIVE_BUCKETS

MAX_DISTANCE = 128  # beyond it all relative positions share a bucket


@lru_cache(maxsize=8)
def buckets_between(
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

import math

import pytest
import torch

from compacter_cli.t5.positions import relative_bucket


def slow_bucket(distance, both_ways):
    """T5's definition for one distance, in python floats' own arithmetic."""
    buckets, first = 32, 0
    if both_ways:
        buckets = 16
        if distance > 0:
            first = 16
        distance = abs(distance)
    else:
        distance = max(0, -distance)
    if distance < buckets // 2:
        return first + distance
    share = math.log(distance / (buckets // 2)) / math.log(128 / (buckets // 2))
    # A hair more, as exact powers fall a rounding below the whole number in float32 or float64.
    far = buckets // 2 + int(share * (buckets - buckets // 2) + 1e-6)
    return first + min(far, buckets - 1)


@pytest.mark.parametrize("both_ways", [True, False])
def test_relative_bucket_is_the_scalar_definition(both_ways):
    distances = list(range(-300, 301))
    found = relative_bucket(torch.tensor(distances), both_ways).tolist()
    assert found == [slow_bucket(distance, both_ways) for distance in distances]
    assert set(found) == set(range(32)) - ({16} if both_ways else set())


@pytest.mark.parametrize("both_ways", [True, False])
def test_relative_bucket_is_kerashubs(shared_backbone, both_ways):
    attention = shared_backbone().encoder_transformer_layers[0].self_attention
    distances = torch.arange(-400, 401, dtype=torch.int32)
    theirs = attention._relative_position_bucket(distances, bidirectional=both_ways)
    assert torch.equal(relative_bucket(distances.long(), both_ways), theirs.long())


def test_some_buckets_by_hand():
    distances = torch.tensor([-200, -128, -9, -8, -7, -1, 0, 1, 7, 8, 9, 127, 128])
    both = [15, 15, 8, 8, 7, 1, 0, 17, 23, 24, 24, 31, 31]
    back = [31, 31, 9, 8, 7, 1, 0, 0, 0, 0, 0, 0, 0]
    assert relative_bucket(distances, True).tolist() == both
    assert relative_bucket(distances, False).tolist() == back

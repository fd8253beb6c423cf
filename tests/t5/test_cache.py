"""What decoding keeps: tokens by hand, and one that goes on by itself."""

import torch

from compacter_cli.t5.cache import Cache


def test_a_token_is_added_to_its_block_and_a_fork_goes_on_by_itself():
    cache = Cache([None])
    keys, values = torch.ones(1, 2, 3, 1), torch.ones(1, 2, 1, 3)  # (B, H, D, 1), (B, H, 1, D)
    assert cache.length == 0
    cache.append(0, keys, values)
    forked = cache.fork()
    found = forked.append(0, 2 * keys, 2 * values)
    assert (cache.length, forked.length) == (1, 2)
    assert found[0][0, 0, 0].tolist() == found[1][0, 0, :, 0].tolist() == [1, 2]

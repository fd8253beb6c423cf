"""Packed masks: bit by bit as python packs them, and back."""

import pytest
import torch

from compacter_cli.t5.bits import BLOCK, factors, pack, pack_positive


def mask_of(count, seed=0):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed)) < 0.6


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 64, 1003])
def test_pack_puts_the_first_element_into_the_lowest_bit(count):
    mask = mask_of(count)
    wanted = [
        sum(bit << place for place, bit in enumerate(mask[start : start + 8].tolist()))
        for start in range(0, count, 8)
    ]
    assert pack(mask).dtype == torch.uint8
    assert pack(mask).tolist() == wanted


def test_pack_reads_any_shape_in_the_order_of_rows():
    mask = mask_of(48).view(2, 4, 6)
    assert torch.equal(pack(mask), pack(mask.flatten()))
    assert torch.equal(pack(mask.mT), pack(mask.mT.flatten()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.uint8])
def test_factors_are_the_scale_where_a_bit_is_set(dtype):
    mask, scale = mask_of(100), 3
    found = factors(pack(mask), scale, dtype, stop=100)
    assert found.dtype == dtype
    assert torch.equal(found, mask.to(dtype) * scale)


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 100), (8, 16), (3, 5), (13, 77), (99, 100), (5, 5)]
)
def test_factors_of_a_part(start, stop):
    mask = mask_of(100)
    found = factors(pack(mask), 0.5, torch.float32, start, stop)
    assert torch.equal(found, mask[start:stop] * 0.5)


def test_factors_keep_the_digits_of_the_scale():
    found = factors(torch.tensor([1], dtype=torch.uint8), 1 / 0.9, torch.float64)
    assert found.tolist() == [1 / 0.9, *[0.0] * 7]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("count", [0, 1003, BLOCK + 9])
def test_pack_positive_sets_the_bits_of_what_is_above_zero(dtype, count):
    x = torch.randn(count, generator=torch.Generator().manual_seed(0)).relu().to(dtype)
    assert torch.equal(pack_positive(x), pack(x > 0))

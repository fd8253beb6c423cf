"""Dropout of packed bits against multiplication with the mask they stand for."""

import torch

from compacter_cli.t5.bits import factors
from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.lean.drop import AddDropped, Drop, add_dropped, drop

DROPOUT = Dropout(0.4, 7)


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_values_and_gradients_are_those_of_the_mask():
    x, residual = drawn(5, 7).requires_grad_(), drawn(5, 7).mul(2).requires_grad_()
    bits = DROPOUT.bits("place", 35, "cpu")
    mask = factors(bits, DROPOUT.scale, torch.float64, stop=35).view(5, 7)
    assert 0 < mask.count_nonzero() < 35
    torch.testing.assert_close(drop(x, DROPOUT, "place"), x * mask)
    torch.testing.assert_close(add_dropped(residual, x, DROPOUT, "place"), residual + x * mask)
    torch.autograd.gradcheck(lambda x: Drop.apply(x, bits, DROPOUT.scale), x)
    torch.autograd.gradcheck(
        lambda r, x: AddDropped.apply(r, x, bits, DROPOUT.scale), (residual, x)
    )


def test_without_dropout_nothing_is_dropped():
    x = drawn(5, 7)
    assert drop(x, None, "place") is x
    assert torch.equal(add_dropped(x, x, None, "place"), 2 * x)


def test_bfloat16_is_rounded_once():
    x = drawn(50, 40).bfloat16()
    mask = DROPOUT.factors("place", 2000, "cpu").view(50, 40)
    found = drop(x, DROPOUT, "place")
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, (x.float() * mask).bfloat16())
    added = add_dropped(x, x, DROPOUT, "place")
    assert torch.equal(added, (x.float() + x.float() * mask).bfloat16())


def test_only_bits_are_kept():
    x, kept = drawn(64, 8).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        add_dropped(x, drop(x, DROPOUT, "one"), DROPOUT, "other")
    assert [(tensor.dtype, len(tensor)) for tensor in kept] == [(torch.uint8, 64)] * 2

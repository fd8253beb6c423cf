"""The dropped inner elements against autograd through the formula with the mask that was drawn."""

import pytest
import torch
from torch.nn import functional

from compacter_cli.t5.fused.feed_forward import ActivatedDrop, ReluDrop

RATE = 0.3


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def gradients_of(y, *inputs):
    return torch.autograd.grad((y * torch.linspace(1, 2, y.numel()).view_as(y)).sum(), inputs)


def assert_all_near(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("rate", [0.0, RATE])
def test_relu_drop_is_the_formula_with_its_own_mask(rate, keep):
    x = drawn(40, 8)
    y = ReluDrop.apply(x, rate, keep)
    positive = x.detach() > 0
    kept = (y != 0).double()
    assert not ((y != 0) & ~positive).any()
    if rate:
        assert 0 < kept.sum() < positive.sum()
    else:
        assert torch.equal(kept.bool(), positive)
    wanted = functional.relu(x) * kept / (1 - rate)
    torch.testing.assert_close(y, wanted)
    assert_all_near(gradients_of(y, x), gradients_of(wanted, x))


@pytest.mark.parametrize(("keep", "kind"), [(True, torch.float64), (False, torch.bool)])
def test_relu_drop_keeps_a_byte_an_element_or_the_result_itself(keep, kind):
    kept = []

    def note(tensor):
        kept.append((tensor.dtype, tuple(tensor.shape)))
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        ReluDrop.apply(drawn(4, 8), RATE, keep)
    assert kept == [(kind, (4, 8))]


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("rate", [0.0, RATE])
def test_activated_drop_is_the_formula_with_its_own_mask(rate, gated):
    x, gate = drawn(40, 8), drawn(40, 8, seed=1) if gated else None
    inputs = [x, gate] if gated else [x]
    y = ActivatedDrop.apply(x, gate, rate, functional.silu)
    kept = (y != 0).double()
    assert (kept.sum() < kept.numel()) == bool(rate)
    wanted = functional.silu(x) * (gate if gated else 1) * kept / (1 - rate)
    torch.testing.assert_close(y, wanted)
    assert_all_near(gradients_of(y, *inputs), gradients_of(wanted, *inputs))


@pytest.mark.parametrize("function", ["relu", "activated"])
def test_the_share_dropped_is_the_rate(function):
    x = torch.ones(1000, 1000)
    torch.manual_seed(0)
    if function == "relu":
        y = ReluDrop.apply(x, RATE, False)
    else:
        y = ActivatedDrop.apply(x, None, RATE, functional.relu)
    deviation = (x.numel() * RATE * (1 - RATE)) ** 0.5
    assert abs(y.count_nonzero() - x.numel() * (1 - RATE)) < 4 * deviation
    assert y.max() == pytest.approx(1 / (1 - RATE))

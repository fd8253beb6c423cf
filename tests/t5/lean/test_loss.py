"""The head's loss, frozen and trained, against autograd through its definition."""

import pytest
import torch
from torch.nn import functional

from compacter_cli.t5.lean.loss import FrozenHeadLoss, HeadLoss

TARGETS = torch.tensor([1, 4, 4])


def inputs(bias):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return draw(3, 2).requires_grad_(), draw(5, 2), draw(5).requires_grad_() if bias else None


@pytest.mark.parametrize("bias", [True, False])
def test_value_and_gradients_are_the_cross_entropys(bias):
    x, table, offset = inputs(bias)
    logits = x @ table.T + (offset if bias else 0)
    found = FrozenHeadLoss.apply(x, table, offset, TARGETS)
    torch.testing.assert_close(found, functional.cross_entropy(logits, TARGETS, reduction="sum"))
    trained = (x, offset) if bias else (x,)
    torch.autograd.gradcheck(
        lambda x, offset=None: 3 * FrozenHeadLoss.apply(x, table, offset, TARGETS), trained
    )


def test_no_logits_are_kept():
    x, table, _ = inputs(bias=False)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        FrozenHeadLoss.apply(x, table, None, TARGETS)
    assert [tensor.shape for tensor in kept] == [(3, 2)]


def test_bfloat16_gives_a_float32_loss_and_a_bfloat16_gradient():
    x, table, _ = inputs(bias=False)
    x = x.detach().bfloat16().requires_grad_()
    loss = FrozenHeadLoss.apply(x, table.bfloat16(), None, TARGETS)
    loss.backward()
    assert (loss.dtype, x.grad.dtype) == (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("bias", [True, False])
def test_of_a_trained_table_value_and_gradients_are_the_cross_entropys(bias):
    x, table, offset = inputs(bias)
    logits = x @ table.T + (offset if bias else 0)
    found = HeadLoss.apply(x, table, offset, TARGETS)
    torch.testing.assert_close(found, functional.cross_entropy(logits, TARGETS, reduction="sum"))
    trained = (x, table.requires_grad_(), *((offset,) if bias else ()))
    torch.autograd.gradcheck(
        lambda x, table, offset=None: 3 * HeadLoss.apply(x, table, offset, TARGETS), trained
    )

"""Tensors kept for backward, on graphs small enough to count by hand."""

import pytest
import torch

from compacter_cli.profiling.saved import live_storages, saved_tensors

FLOATS = 100  # 400 bytes


@pytest.fixture
def x():
    return torch.ones(FLOATS, requires_grad=True)


def kept(function, known=()):
    with saved_tensors(known) as saved:
        result = function()
    del result
    return saved.bytes


def test_exp_keeps_its_result(x):
    assert kept(lambda: x.exp()) == 400


def test_a_sum_keeps_nothing(x):
    assert kept(lambda: (x + 1).sum()) == 0


def test_a_storage_counts_once_whatever_keeps_a_view_of_it(x):
    def graph():
        y = x.exp()  # keeps y
        return y[:50].exp().sum() + (y * y).sum()  # keeps its 50 results; y again, twice

    assert kept(graph) == 400 + 200


def test_what_is_known_does_not_count(x):
    weight = torch.full((FLOATS,), 2.0)
    assert kept(lambda: x * weight) == 400
    assert kept(lambda: x * weight, live_storages()) == 0


def test_live_storages_are_those_that_python_reaches(x):
    address = x.untyped_storage().data_ptr()
    assert live_storages()[address] == 400


def test_the_gradient_is_the_same_under_the_count(x):
    with saved_tensors({}):
        loss = (3 * x.exp()).sum()
    loss.backward()
    assert torch.allclose(x.grad, 3 * torch.ones(FLOATS).exp())

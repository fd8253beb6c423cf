"""The norm against autograd through its definition, and what it keeps."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from compacter_cli.t5.lean.norm import Norm, NormedLinears


def inputs(shape=(2, 3, 8), bias=True):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    return draw(*shape), draw(shape[-1]), draw(shape[-1]) if bias else None


def plain(x, weight, bias, epsilon):
    normed = weight * x / torch.sqrt(x.square().mean(-1, keepdim=True) + epsilon)
    return normed if bias is None else normed + bias


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("epsilon", [1e-6, 0.5])
def test_values_and_gradients_are_the_definitions(bias, epsilon):
    given = inputs(bias=bias)
    torch.testing.assert_close(Norm.apply(*given, epsilon), plain(*given, epsilon))
    torch.autograd.gradcheck(lambda *x: Norm.apply(*x, epsilon), given)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_gets_no_gradient(frozen):
    given = inputs()
    given[frozen].requires_grad_(False)
    Norm.apply(*given, 1e-6).sum().backward()
    wanted = [x.grad for x in given]
    assert wanted[frozen] is None
    for x in given:
        x.grad = None
    plain(*given, 1e-6).sum().backward()
    for found, x in zip(wanted, given, strict=True):
        if x.requires_grad:
            torch.testing.assert_close(found, x.grad)


def test_bfloat16_is_normed_in_float32():
    x, weight, _ = (t.detach().float() if t is not None else None for t in inputs(bias=False))
    found = Norm.apply(x.bfloat16(), weight, None, 1e-6)
    assert torch.equal(found, plain(x.bfloat16().float(), weight, None, 1e-6).bfloat16())


def test_it_keeps_its_input_and_one_number_a_row():
    x, weight, _ = inputs(shape=(50, 8), bias=False)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        Norm.apply(x, weight, None, 1e-6)
    assert sorted(tensor.numel() for tensor in kept) == [8, 50, 400]


LINEARS = [(8, 5), (5,), (8, 3), None]  # a weight and its bias, a weight without one


def linears_of():
    generator = torch.Generator().manual_seed(1)

    def draw(shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

    return [None if shape is None else draw(shape) for shape in LINEARS]


def plain_linears(x, weight, bias, epsilon, *pairs):
    x = plain(x, weight, bias, epsilon)
    return x @ pairs[0] + pairs[1], x @ pairs[2]


def test_linears_of_a_normed_input_are_their_definition():
    given, linears = inputs(shape=(6, 8)), linears_of()
    for found, wanted in zip(
        NormedLinears.apply(*given, 0.1, *linears),
        plain_linears(*given, 0.1, *linears),
        strict=True,
    ):
        torch.testing.assert_close(found, wanted)
    trained = [*given, *linears[:3]]
    torch.autograd.gradcheck(lambda *x: NormedLinears.apply(*x[:3], 0.1, *x[3:], None), trained)


@pytest.mark.parametrize("trains", range(6))
def test_linears_that_are_frozen_get_no_gradient(trains):
    given, linears = inputs(shape=(6, 8)), linears_of()
    everything = [*given, *linears[:3]]
    for index, tensor in enumerate(everything):
        tensor.requires_grad_(index == trains)
    outputs = NormedLinears.apply(*given, 0.1, *linears)
    (found,) = torch.autograd.grad([sum(y.sum() for y in outputs)], everything[trains])
    wanted = sum(y.sum() for y in plain_linears(*given, 0.1, *linears))
    torch.testing.assert_close(found, torch.autograd.grad(wanted, everything[trains])[0])


def test_linears_do_not_keep_the_normed_input():
    given, linears, kept = inputs(shape=(50, 8), bias=False), linears_of(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        NormedLinears.apply(*given, 1e-6, *linears)
    assert sorted(tensor.numel() for tensor in kept) == [8, 24, 40, 50, 400]


def test_before_all_that_trains_only_the_linears_own_gradients_are_computed():
    given, linears = inputs(shape=(6, 8)), linears_of()
    for tensor in given:
        tensor.requires_grad_(False)
    outputs = NormedLinears.apply(*given, 0.1, *linears)
    with FlopCounterMode(display=False) as counter:
        torch.autograd.grad([sum(y.sum() for y in outputs)], linears[:3])
    assert counter.get_total_flops() == 2 * 6 * 8 * (5 + 3)

"""The feed-forwards against autograd through the formula with the same mask."""

import keras
import pytest
import torch

from compacter_cli.t5.bits import factors
from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.lean.feed_forward import ActivatedFeedForward, ReluFeedForward, linear

DROPOUT = Dropout(0.3, 2)
TOKENS, HIDDEN, INNER = 6, 5, 8


def inputs(gated, bias, dtype=torch.float64):
    generator = torch.Generator().manual_seed(4)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()

    wide = [draw(HIDDEN, INNER), draw(INNER) if bias else None]
    gate = [draw(HIDDEN, INNER), draw(INNER) if bias else None] if gated else [None, None]
    return draw(TOKENS, HIDDEN), *wide, *gate, draw(INNER, HIDDEN)


def lean(given, kept, activation):
    x, w_in, b_in, w_gate, _, w_out = given
    if activation == "relu" and w_gate is None:
        scale = 1.0 if kept is None else DROPOUT.scale
        return ReluFeedForward.apply(x, w_in, b_in, w_out, kept, scale)
    function = keras.activations.get(activation)
    return ActivatedFeedForward.apply(*given, kept, DROPOUT.scale, function)


def plain(given, kept, activation):
    x, w_in, b_in, w_gate, b_gate, w_out = given
    inner = getattr(torch.nn.functional, activation)(x @ w_in + (0 if b_in is None else b_in))
    if w_gate is not None:
        inner = inner * (x @ w_gate + (0 if b_gate is None else b_gate))
    if kept is not None:
        mask = factors(kept, DROPOUT.scale, x.dtype, stop=inner.numel())
        inner = inner * mask.view(inner.shape)
    return inner @ w_out


@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("activation", "gated"), [("relu", False), ("relu", True), ("silu", False), ("silu", True)]
)
@pytest.mark.parametrize("frozen", ["nothing", "output", "all weights", "input"])
def test_values_and_gradients_are_the_formulas(activation, gated, bias, dropped, frozen):
    given = inputs(gated, bias)
    kept = DROPOUT.bits("place", TOKENS * INNER, "cpu") if dropped else None
    still = {"nothing": (), "output": (5,), "all weights": range(1, 6), "input": (0,)}[frozen]
    for place in still:
        if given[place] is not None:
            given[place].requires_grad_(False)
    torch.testing.assert_close(lean(given, kept, activation), plain(given, kept, activation))
    trained = [t for t in given if t is not None and t.requires_grad]
    weight = torch.randn(TOKENS, HIDDEN, dtype=torch.float64)
    found, wanted = (
        torch.autograd.grad((function(given, kept, activation) * weight).sum(), trained)
        for function in (lean, plain)
    )
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(("activation", "gated"), [("relu", False), ("silu", True)])
def test_gradients_are_the_finite_differences(activation, gated):
    given = inputs(gated, bias=True)
    kept = DROPOUT.bits("place", TOKENS * INNER, "cpu")
    trained = [t for t in given if t is not None]

    def function(*tensors):
        tensors = iter(tensors)
        return lean([None if t is None else next(tensors) for t in given], kept, activation)

    torch.autograd.gradcheck(function, trained)


@pytest.mark.parametrize(
    ("trains", "wanted"),
    [
        ((), [(torch.uint8, TOKENS * INNER // 8)]),
        (("w_in",), [(torch.float64, TOKENS * HIDDEN), (torch.uint8, TOKENS * INNER // 8)]),
        (("w_out",), [(torch.float64, TOKENS * INNER)]),
    ],
)
def test_relu_keeps_no_more_than_what_trains_asks_for(trains, wanted):
    x, w_in, _, _, _, w_out = inputs(gated=False, bias=False)
    w_in.requires_grad_("w_in" in trains)
    w_out.requires_grad_("w_out" in trains)
    bits, kept = DROPOUT.bits("place", TOKENS * INNER, "cpu"), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        ReluFeedForward.apply(x, w_in, None, w_out, bits, DROPOUT.scale)
    own = [tensor for tensor in kept if tensor.shape not in (w_in.shape, w_out.shape)]
    assert [(tensor.dtype, tensor.numel()) for tensor in own] == wanted


def test_linear_adds_a_bias_where_there_is_one():
    x, weight, bias = torch.ones(2, 3), torch.ones(3, 4), torch.arange(4.0)
    assert torch.equal(linear(x, weight), torch.full((2, 4), 3.0))
    assert linear(x, weight, bias).tolist() == [[3.0, 4.0, 5.0, 6.0]] * 2

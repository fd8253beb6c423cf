"""Absorbed cross-attention against keys and values that are built, over padded rows with a mask.

B batch, T target, S source, k hidden, H heads, D size of a head
"""

import itertools
from math import log

import numpy as np
import pytest
import torch
from torch.nn import functional

from compacter_cli.t5.absorbing import absorbed as through_states
from compacter_cli.t5.bits import pack
from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.lean.cross_attention import Mixed
from compacter_cli.t5.lean.pairs import Pairs
from compacter_cli.t5.parts import Linear
from compacter_cli.t5.tokens import Tokens

DROPOUT = Dropout(0.3, 2)
HEADS, HEAD, HIDDEN = 2, 3, 7
WIDTH = HEADS * HEAD
LENGTHS = {  # of targets and of sources
    "padded": ([3, 1, 2], [4, 2, 1]),
    "full": ([3, 3, 3], [4, 4, 4]),
    "padded sources": ([2, 2], [1, 3]),
    "padded targets": ([1, 2], [3, 3]),
    "a query a row": ([1, 1, 1], [2, 4, 1]),
    "one of each": ([1], [1]),
}


def mask_of(lengths):
    return torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]


def pairs_of(lengths):
    targets, sources = (Tokens.of(mask_of(of_rows)) for of_rows in lengths)
    return Pairs(targets, sources, HEADS)


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(sum(shape) + seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def inputs(lengths, bias=True):
    """Flat queries, states, and weight and bias of both projections."""
    targets, sources = lengths
    biases = (drawn(WIDTH), drawn(WIDTH, seed=9)) if bias else ()
    queries, states = drawn(sum(targets), WIDTH), drawn(len(sources), max(sources), HIDDEN)
    return queries, states, drawn(HIDDEN, WIDTH), drawn(HIDDEN, WIDTH, seed=3), *biases


def absorbed(queries, states, key, value, pairs, keep_mask=None, scale=1.0):
    """Attention of flat queries, by `(weight, bias)` of both projections."""

    def mix(taken, constant):
        return Mixed.apply(taken, constant, states, keep_mask, scale, pairs)

    return through_states(queries, Linear(*key), Linear(*value), pairs.queries, pairs.heads, mix)


def lean(lengths, dropout=None):
    """`absorbed` as a function of `inputs` alone."""
    pairs = pairs_of(lengths)
    keep_mask = pairs.keep_mask(dropout, "place")

    def function(queries, states, key, value, key_bias=None, value_bias=None):
        return absorbed(
            queries, states, (key, key_bias), (value, value_bias), pairs, keep_mask, DROPOUT.scale
        )

    return function


def factors_of(lengths):
    """Dropout's factors, padded (B, H, T, S): drawn over the real pairs in the order of rows."""
    real = [
        (row, *place)
        for row, of_row in enumerate(zip(*lengths, strict=True))
        for place in itertools.product(range(HEADS), *map(range, of_row))
    ]
    bits = DROPOUT.bits("place", len(real), "cpu").numpy()
    factors = torch.zeros(len(lengths[0]), HEADS, *map(max, lengths), dtype=torch.float64)
    for place, bit in zip(real, np.unpackbits(bits, bitorder="little"), strict=False):
        factors[place] = DROPOUT.scale * float(bit)
    return factors


def built(lengths, dropped=False):
    """The textbook's: keys and values of every state, padding masked out of the softmax."""
    target_mask, source_mask = map(mask_of, lengths)

    def heads(x):
        return x.unflatten(-1, (HEADS, HEAD)).transpose(1, 2)  # (B, H, length, D)

    def function(queries, states, key, value, key_bias=0, value_bias=0):
        padded = torch.zeros(*target_mask.shape, WIDTH, dtype=queries.dtype)
        padded = padded.masked_scatter(target_mask[..., None].expand_as(padded), queries)
        keys, values = heads(states @ key + key_bias), heads(states @ value + value_bias)
        scores = heads(padded) @ keys.mT
        weights = scores.masked_fill(~source_mask[:, None, None], -torch.inf).softmax(-1)
        if dropped:
            weights = weights * factors_of(lengths)
        return (weights @ values).transpose(1, 2).flatten(2)[target_mask]

    return function


def gradients(function, given):
    context = function(*given)
    weighted = (context * drawn(*context.shape, seed=5).detach()).sum()
    return torch.autograd.grad(weighted, given)


@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", LENGTHS)
def test_absorbed_attention_is_attention_to_built_keys_and_values(kind, bias, dropped):
    lengths, given = LENGTHS[kind], inputs(LENGTHS[kind], bias)
    found = lean(lengths, DROPOUT if dropped else None)
    wanted = built(lengths, dropped)
    torch.testing.assert_close(found(*given), wanted(*given))
    for one, other in zip(gradients(found, given), gradients(wanted, given), strict=True):
        torch.testing.assert_close(one, other)
    torch.autograd.gradcheck(found, given)


@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("length", [1, 3])
def test_states_of_a_prompt_are_attended_to_by_every_row(length, dropped):
    targets, sources = LENGTHS["padded"]
    mask = functional.pad(mask_of(sources), (length, 0), value=True)
    pairs = Pairs(Tokens.of(mask_of(targets)), Tokens.of(mask), HEADS)
    longer = targets, [length + source for source in sources]
    given = inputs(longer)
    queries, states, key, value, key_bias, value_bias = given
    keep_mask = pairs.keep_mask(DROPOUT if dropped else None, "place")
    found = absorbed(
        queries, states, (key, key_bias), (value, value_bias), pairs, keep_mask, DROPOUT.scale
    )
    torch.testing.assert_close(found, built(longer, dropped)(*given))


def one_head(bias, keep=None):
    """One query of 1 to states (1, 0) and (0, 1): scores log 3 and 0, values 4 and 8."""
    queries, states = torch.ones(1, 1), torch.eye(2)[None]
    key, value = torch.tensor([[log(3)], [0]]), torch.tensor([[4.0], [8]])
    biases = (torch.tensor([5.0]), torch.tensor([1.0])) if bias else (None, None)
    pairs = Pairs(Tokens.of(torch.ones(1, 1).bool()), Tokens.of(torch.ones(1, 2).bool()), 1)
    keep_mask = None if keep is None else pack(torch.tensor(keep))
    both = (key, biases[0]), (value, biases[1])
    return absorbed(queries, states, *both, pairs, keep_mask, 2.0).item()


def test_a_mean_by_hand():
    # Weights 3/4 and 1/4: 3 + 2. A bias of the keys changes no weight, one of the values is added.
    assert one_head(bias=False) == pytest.approx(5)
    assert one_head(bias=True) == pytest.approx(6)


def test_a_mean_with_dropout_by_hand():
    # The first weight is 3/2, the second 0: 6, and 3/2 times the bias of the values.
    assert one_head(bias=False, keep=[True, False]) == pytest.approx(6)
    assert one_head(bias=True, keep=[True, False]) == pytest.approx(7.5)
    # 0 and 1/2: 4, and 1/2.
    assert one_head(bias=True, keep=[False, True]) == pytest.approx(4.5)


@pytest.mark.parametrize("dropped", [True, False])
def test_states_of_padding_change_nothing_and_get_no_gradient(dropped):
    lengths = LENGTHS["padded"]
    function = lean(lengths, DROPOUT if dropped else None)
    queries, states, *rest = inputs(lengths)
    real = mask_of(lengths[1])
    with torch.no_grad():
        others = torch.where(real[..., None], states, 1e3)
        assert not torch.equal(others, states)
        torch.testing.assert_close(
            function(queries, others, *rest), function(queries, states, *rest), rtol=0, atol=1e-12
        )
    found = gradients(function, (queries, states, *rest))[1]
    assert not found[~real].any()
    if not dropped:
        assert (found[real] != 0).all()


def test_a_row_without_targets_asks_for_nothing():
    lengths = [2, 0, 1], [4, 3, 2]
    given = inputs(lengths)
    torch.testing.assert_close(lean(lengths)(*given), built(lengths)(*given))
    assert lean(lengths)(*given).shape == (3, WIDTH)
    found = gradients(lean(lengths), given)[1]
    assert not found[1].any()
    assert found[0].any()


def test_a_source_of_padding_alone_stays_finite_and_leaves_the_other_rows_alone():
    lengths = [2, 2, 1], [4, 0, 2]
    given = inputs(lengths)
    context, found = lean(lengths)(*given), gradients(lean(lengths), given)
    assert context.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in found)
    others = [0, 1, 4]  # of the first and the last row
    torch.testing.assert_close(context[others], built(lengths)(*given)[others])


def test_a_bias_of_the_keys_changes_nothing():
    lengths = LENGTHS["padded"]
    *others, key_bias, value_bias = given = inputs(lengths)
    assert key_bias.all()
    without = lean(lengths)(*others, None, value_bias)
    torch.testing.assert_close(lean(lengths)(*given), without)
    gradient = gradients(lean(lengths), given)[4]
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_keys_and_values_of_the_source_are_not_built():
    """Nothing that is kept for the backward pass has their size, 2 * 11 * 6."""
    lengths = [2, 1], [11, 8]
    given, sizes = inputs(lengths), []

    def note(tensor):
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        lean(lengths, DROPOUT)(*given)
        assert sizes
        assert 2 * 11 * WIDTH not in sizes
        built(lengths)(*given)
        assert 2 * 11 * WIDTH in sizes


def test_bfloat16_takes_its_softmax_in_float32():
    lengths = [8], [64]
    given = [tensor.detach() for tensor in inputs(lengths)]
    rounded = [tensor.bfloat16() for tensor in given]
    pairs, seen = pairs_of(lengths), []
    softmax = torch.Tensor.softmax
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.Tensor, "softmax", lambda x, d: seen.append(x.dtype) or softmax(x, d))
        key, value = zip(rounded[2:4], rounded[4:6], strict=True)
        found = absorbed(*rounded[:2], key, value, pairs)
    assert seen == [torch.float32]
    assert found.dtype == torch.bfloat16
    wanted = built(lengths)(*(tensor.double() for tensor in rounded))
    assert (found.double() - wanted).norm() <= 0.02 * wanted.norm()

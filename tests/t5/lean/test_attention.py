"""Attention in parts against autograd through the formula with the same mask, row by row."""

import pytest
import torch

from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.lean.attention import Attention
from compacter_cli.t5.lean.pairs import Pairs
from compacter_cli.t5.tokens import Tokens

DROPOUT = Dropout(0.3, 2)
HEADS, HEAD = 2, 3
LENGTHS = {"padded": ([3, 1, 2], [4, 2, 1]), "full": ([3, 3, 3], [4, 4, 4])}


def mask_of(lengths):
    return torch.arange(max(lengths))[None, :] < torch.tensor(lengths)[:, None]


def pairs_of(kind, row_by_row):
    queries, keys = (Tokens.of(mask_of(lengths)) for lengths in LENGTHS[kind])
    return Pairs(queries, keys, HEADS, row_by_row)


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(sum(shape) + seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()


def inputs(kind):
    queries, keys = (sum(lengths) for lengths in LENGTHS[kind])
    width = HEADS * HEAD
    bias = drawn(1, HEADS, *map(max, LENGTHS[kind]))
    return drawn(queries, width), drawn(keys, width, seed=1), drawn(keys, width, seed=2), bias


def plain(queries, keys, values, bias, kind, dropped):
    """A row and a head at a time, dropout's draws in that order."""
    drawn_bits = DROPOUT.factors("place", 10_000, "cpu").double()
    rows, query, key, used = [], 0, 0, 0
    for q_length, k_length in zip(*LENGTHS[kind], strict=True):
        heads = []
        for head in range(HEADS):
            part = slice(head * HEAD, (head + 1) * HEAD)
            scores = queries[query : query + q_length, part] @ keys[key : key + k_length, part].T
            shares = (scores + bias[0, head, :q_length, :k_length]).softmax(-1)
            if dropped:
                mask = drawn_bits[used : used + shares.numel()].view(shares.shape)
                shares, used = shares * mask, used + shares.numel()
            heads.append(shares @ values[key : key + k_length, part])
        rows.append(torch.cat(heads, 1))
        query, key = query + q_length, key + k_length
    return torch.cat(rows)


@pytest.mark.parametrize("dropped", [True, False])
@pytest.mark.parametrize("row_by_row", [True, False])
@pytest.mark.parametrize("kind", LENGTHS)
def test_values_and_gradients_are_the_formulas(kind, row_by_row, dropped):
    given, pairs = inputs(kind), pairs_of(kind, row_by_row)
    kept = pairs.keep_mask(DROPOUT if dropped else None, "place")

    def lean(*tensors):
        return Attention.apply(*tensors, kept, DROPOUT.scale if dropped else 1.0, pairs)

    wanted = plain(*given, kind, dropped)
    torch.testing.assert_close(lean(*given), wanted)
    weight = torch.randn(wanted.shape, dtype=torch.float64)
    found = torch.autograd.grad((lean(*given) * weight).sum(), given)
    for one, other in zip(found, torch.autograd.grad((wanted * weight).sum(), given), strict=True):
        torch.testing.assert_close(one, other)
    torch.autograd.gradcheck(lean, given)


def test_attention_keeps_queries_keys_values_and_bits():
    *given, bias = inputs("padded")
    pairs = pairs_of("padded", row_by_row=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        bits = pairs.keep_mask(DROPOUT, "place")
        Attention.apply(*given, bias, bits, DROPOUT.scale, pairs)
    shares = 2 * (3 * 4 + 1 * 2 + 2 * 1)
    assert [t.numel() for t in kept] == [*(t.numel() for t in (*given, bias)), shares // 8]


def test_a_bias_of_many_rows_gets_its_gradient_summed_in_float32():
    rows, length = 300, 4
    tokens = Tokens.of(torch.ones(rows, length, dtype=torch.bool))
    generator = torch.Generator().manual_seed(0)
    parts = torch.randn(3, 1, length, HEADS * HEAD, generator=generator)
    gradient = torch.randn(length, HEADS * HEAD, generator=generator).repeat(rows, 1)
    found = {}
    for dtype in (torch.bfloat16, torch.float64):
        # Every row is the same, so nothing cancels.
        queries, keys, values = parts.bfloat16().to(dtype).repeat(1, rows, 1, 1).flatten(1, 2)
        bias = torch.zeros(1, HEADS, length, length, dtype=dtype, requires_grad=True)
        pairs = Pairs(tokens, tokens, HEADS, row_by_row=True)
        mixed = Attention.apply(queries, keys, values, bias, None, 1.0, pairs)
        mixed.backward(gradient.bfloat16().to(dtype))
        found[dtype] = bias.grad.double()
    error = (found[torch.bfloat16] - found[torch.float64]).norm() / found[torch.float64].norm()
    assert error < 0.02  # summed in bfloat16 it is 0.05 and more

"""Which tokens attend to which: parts, masks and dropout's bits, by hand and over padded rows.

Three rows of 3, 1 and 2 queries and 4, 2 and 1 keys, two heads: 24 + 4 + 4 attention weights.
"""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional

from compacter_cli.t5.dropout import Dropout
from compacter_cli.t5.lean import pairs as module
from compacter_cli.t5.lean.attention import Attention
from compacter_cli.t5.lean.pairs import Pairs, Span
from compacter_cli.t5.tokens import Tokens

HEADS, HEAD = 2, 3
QUERIES, KEYS = [3, 1, 2], [4, 2, 1]
DROPOUT = Dropout(0.4, 11)


def tokens_of(lengths, padded=None):
    places = torch.arange(padded or max(lengths))
    return Tokens.of(places[None, :] < torch.tensor(lengths)[:, None])


def pairs_of(queries=QUERIES, keys=KEYS, row_by_row=False, **padded):
    return Pairs(tokens_of(queries, **padded), tokens_of(keys, **padded), HEADS, row_by_row)


def drawn(*shape, seed=0):
    generator = torch.Generator().manual_seed(sum(shape) + seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def bits_of(packed, count):
    """The first `count` packed bits, by numpy."""
    return np.unpackbits(packed.numpy(), count=count, bitorder="little")


def places(queries=QUERIES, keys=KEYS):
    """(row, head, query, key) of every real pair, in the order of rows."""
    return [
        (row, *place)
        for row, lengths in enumerate(zip(queries, keys, strict=True))
        for place in itertools.product(range(HEADS), *map(range, lengths))
    ]


# The parts


def test_padded_rows_are_one_part():
    pairs = pairs_of()
    assert pairs.shape == (3, HEADS, 3, 4)
    (span,) = pairs.spans
    assert span == Span((3, HEADS, 3, 4), slice(None), slice(None), 0)
    assert span.stop == 72


def test_rows_one_by_one_are_parts_of_their_own_lengths():
    spans = pairs_of(row_by_row=True).spans
    assert spans == [
        Span((1, HEADS, 3, 4), slice(0, 3), slice(0, 4), 0),
        Span((1, HEADS, 1, 2), slice(3, 4), slice(4, 6), 24),
        Span((1, HEADS, 2, 1), slice(4, 6), slice(6, 7), 28),
    ]
    assert [span.stop for span in spans] == [24, 28, 32]


def test_a_parts_slices_take_the_tokens_of_its_row():
    pairs = pairs_of(row_by_row=True)
    queries, keys = torch.arange(9).view(3, 3), torch.arange(12).view(3, 4)
    flat_queries, flat_keys = pairs.queries.flatten(queries), pairs.keys.flatten(keys)
    for row, span in enumerate(pairs.spans):
        assert torch.equal(flat_queries[span.queries], queries[row, : QUERIES[row]])
        assert torch.equal(flat_keys[span.keys], keys[row, : KEYS[row]])


def test_a_prompt_before_the_source_is_keys_of_every_row():
    source = tokens_of(KEYS)
    behind = Tokens.of(functional.pad(source.mask, (2, 0), value=True))
    spans = Pairs(tokens_of(QUERIES), behind, HEADS, row_by_row=True).spans
    assert [span.shape for span in spans] == [(1, 2, 3, 6), (1, 2, 1, 4), (1, 2, 2, 3)]
    assert [span.keys for span in spans] == [slice(0, 6), slice(6, 10), slice(10, 13)]


def test_long_rows_are_taken_one_by_one_and_short_or_odd_ones_are_padded():
    long, short = torch.ones(2, 200).bool(), torch.ones(2, 20).bool()
    odd = long.clone()
    odd[0, 0] = False
    found = [
        Pairs.of(Tokens.of(mask), Tokens.of(mask), heads=8).row_by_row
        for mask in (long, short, odd)
    ]
    assert found == [True, False, False]


def test_rows_are_long_from_a_number_of_attention_weights(monkeypatch):
    queries, keys = tokens_of(QUERIES), tokens_of(KEYS)
    for limit, one_by_one in ((HEADS * 3 * 4, True), (HEADS * 3 * 4 + 1, False)):
        monkeypatch.setattr(module, "ROW_BY_ROW", limit)
        assert Pairs.of(queries, keys, HEADS).row_by_row == one_by_one


@pytest.mark.parametrize("odd", ["queries", "keys"])
@pytest.mark.parametrize("lengths", [[3, 0, 2], None])
def test_a_row_without_tokens_or_with_holes_is_padded_however_long(monkeypatch, odd, lengths):
    monkeypatch.setattr(module, "ROW_BY_ROW", 1)
    holes = Tokens.of(torch.tensor([[1, 0, 1], [1, 1, 1], [1, 0, 0]]).bool())
    other = tokens_of(lengths) if lengths else holes
    given = {"queries": tokens_of(QUERIES), "keys": tokens_of(KEYS), odd: other}
    assert not Pairs.of(**given, heads=HEADS).row_by_row


def test_only_a_cpu_takes_rows_one_by_one(monkeypatch):
    monkeypatch.setattr(module, "ROW_BY_ROW", 1)
    elsewhere = Tokens(torch.ones(2, 9, dtype=torch.bool, device="meta"), None)
    assert not Pairs.of(elsewhere, elsewhere, HEADS).row_by_row


# The masks


def test_unseen_are_the_keys_that_are_padding():
    unseen = pairs_of().unseen
    assert unseen.shape == (3, 1, 1, 4)
    assert unseen[:, 0, 0].int().tolist() == [[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 1, 1]]
    assert pairs_of(row_by_row=True).unseen is None  # no row has padding then
    assert pairs_of(keys=[4, 4, 4]).unseen is None


def test_real_are_pairs_of_a_real_query_with_a_real_key():
    real = pairs_of().real
    assert real.shape == (3, 1, 3, 4)
    assert real[:, 0].int().tolist() == [
        [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]],
        [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
        [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]],
    ]
    assert pairs_of([3, 3, 3], [4, 4, 4]).real is None


@pytest.mark.parametrize("row_by_row", [True, False])
@pytest.mark.parametrize(
    ("queries", "keys", "count"),
    [
        (QUERIES, KEYS, 2 * (3 * 4 + 1 * 2 + 2 * 1)),
        ([3, 3, 3], KEYS, 2 * 3 * (4 + 2 + 1)),
        (QUERIES, [4, 4, 4], 2 * (3 + 1 + 2) * 4),
        ([3, 3, 3], [4, 4, 4], 2 * 3 * 3 * 4),
        ([1], [1], 2),
    ],
)
def test_real_pairs_are_counted_in_all_heads(queries, keys, count, row_by_row):
    pairs = pairs_of(queries, keys, row_by_row)
    assert pairs.count == count
    if row_by_row:
        assert pairs.spans[-1].stop == count


def test_a_row_without_keys_has_no_real_pairs():
    pairs = pairs_of(keys=[4, 0, 1])
    assert pairs.count == 2 * (12 + 0 + 2)
    assert pairs.unseen[1].all()
    assert not pairs.real[1].any()


# Dropout's bits


def test_without_dropout_there_is_no_keep_mask():
    assert pairs_of().keep_mask(None, "place") is None
    assert pairs_of(row_by_row=True).keep_mask(None, "place") is None


@pytest.mark.parametrize("queries", [QUERIES, [3, 3, 3]])
@pytest.mark.parametrize("keys", [KEYS, [4, 4, 4], [4, 0, 1]])
def test_a_padded_keep_mask_has_the_draws_at_the_real_pairs_and_no_other_bit(queries, keys):
    pairs, real = pairs_of(queries, keys), places(queries, keys)
    drawn_bits = bits_of(DROPOUT.bits("place", len(real), "cpu"), len(real))
    expected = np.zeros(pairs.shape, dtype=np.uint8)
    for place, bit in zip(real, drawn_bits, strict=True):
        expected[place] = bit
    found = bits_of(pairs.keep_mask(DROPOUT, "place"), expected.size).reshape(expected.shape)
    assert np.array_equal(found, expected)
    assert 0 < expected.sum() < len(real)


def test_rows_one_by_one_have_the_draws_as_they_come():
    pairs = pairs_of(row_by_row=True)
    found = bits_of(pairs.keep_mask(DROPOUT, "place"), 32)
    assert np.array_equal(found, bits_of(DROPOUT.bits("place", 32, "cpu"), 32))
    for row, span in enumerate(pairs.spans):
        padded = bits_of(pairs_of().keep_mask(DROPOUT, "place"), 72).reshape(3, HEADS, 3, 4)
        own = found[span.start : span.stop].reshape(span.shape)[0]
        assert np.array_equal(own, padded[row, :, : QUERIES[row], : KEYS[row]])


def test_padding_further_draws_the_same():
    near = bits_of(pairs_of().keep_mask(DROPOUT, "place"), 72).reshape(3, HEADS, 3, 4)
    far = pairs_of(padded=6).keep_mask(DROPOUT, "place")
    far = bits_of(far, 3 * HEADS * 6 * 6).reshape(3, HEADS, 6, 6)
    assert np.array_equal(far[:, :, :3, :4], near)
    assert far.sum() == near.sum()


def test_each_place_draws_its_own_keep_mask():
    one, other = (pairs_of().keep_mask(DROPOUT, place) for place in ("one", "other"))
    assert not torch.equal(one, other)


# Flat and padded


def test_padded_rows_are_laid_out_among_zeros_and_taken_back():
    pairs, queries, keys = pairs_of(), drawn(6, 5), drawn(7, 5, seed=1)
    padded_queries, padded_keys, again = pairs.pad(queries, keys, 2 * keys)
    assert padded_queries.shape == (9, 5)
    assert padded_keys.shape == (12, 5)
    zero = torch.zeros(5, dtype=torch.float64)
    for row in range(3):
        for column in range(3):
            real = queries[sum(QUERIES[:row]) + column] if column < QUERIES[row] else zero
            assert torch.equal(padded_queries[3 * row + column], real)
        for column in range(4):
            real = keys[sum(KEYS[:row]) + column] if column < KEYS[row] else zero
            assert torch.equal(padded_keys[4 * row + column], real)
    assert torch.equal(again, 2 * padded_keys)
    taken_back = pairs.unpad(padded_queries, padded_keys, again)
    assert all(map(torch.equal, taken_back, (queries, keys, 2 * keys)))


def test_rows_one_by_one_are_laid_out_already():
    pairs, queries, keys = pairs_of(row_by_row=True), drawn(6, 5), drawn(7, 5)
    for given in (pairs.pad(queries, keys), pairs.unpad(queries, keys)):
        assert given[0] is queries
        assert given[1] is keys


@pytest.mark.parametrize("dropout", [DROPOUT, None])
@pytest.mark.parametrize("prompt", [0, 2])
@pytest.mark.parametrize("lengths", [(QUERIES, KEYS), ([1, 1], [1, 3]), ([1], [1])])
def test_attention_over_rows_one_by_one_is_that_over_padded_rows(lengths, prompt, dropout):
    queries, keys = lengths[0], [length + prompt for length in lengths[1]]
    width = HEADS * HEAD
    given = [
        drawn(sum(queries), width).requires_grad_(),
        drawn(sum(keys), width, seed=1).requires_grad_(),
        drawn(sum(keys), width, seed=2).requires_grad_(),
        drawn(1, HEADS, max(queries), max(keys)).requires_grad_(),
    ]
    found = []
    for row_by_row in (True, False):
        pairs = pairs_of(queries, keys, row_by_row)
        keep_mask = pairs.keep_mask(dropout, "place")
        context = Attention.apply(*given, keep_mask, DROPOUT.scale, pairs)
        weighted = (context * drawn(*context.shape, seed=5)).sum()
        found.append([context, *torch.autograd.grad(weighted, given)])
    torch.testing.assert_close(*found)

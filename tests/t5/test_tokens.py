"""Unpadding: what is real, in order, and back."""

import torch

from compacter_cli.t5.tokens import Tokens

MASK = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 0, 0]]).bool()


def test_flatten_takes_the_real_tokens_in_the_order_of_rows():
    padded = torch.arange(12).view(3, 4)
    tokens = Tokens.of(MASK)
    assert tokens.flatten(padded).tolist() == [0, 1, 2, 4, 8, 9]
    assert tokens.lengths == [3, 1, 2]


def test_pad_puts_them_back_among_zeros():
    tokens, flat = Tokens.of(MASK), torch.arange(1.0, 13.0).view(6, 2)
    padded = tokens.pad(flat)
    assert padded.shape == (3, 4, 2)
    assert torch.equal(padded[MASK], flat)
    assert not padded[~MASK].any()
    assert torch.equal(tokens.flatten(padded), flat)


def test_where_all_are_real_nothing_is_copied():
    tokens, padded = Tokens.of(torch.ones(3, 4).bool()), torch.randn(3, 4, 2)
    flat = tokens.flatten(padded)
    assert tokens.index is None
    assert flat.shape == (12, 2)
    assert flat.data_ptr() == padded.data_ptr() == tokens.pad(flat).data_ptr()


def test_lengths_are_told_only_where_rows_begin_with_their_tokens():
    assert Tokens.of(MASK.flip(1)).lengths is None
    assert Tokens.of(torch.tensor([[1, 0], [0, 0]]).bool()).lengths is None  # an empty row
    assert Tokens.of(torch.tensor([[1, 0, 1]]).bool()).lengths is None

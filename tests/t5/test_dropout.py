"""Dropout's draws: their rate, their scale, and what they depend on."""

import numpy as np
import pytest
import torch

from compacter_cli.t5 import dropout as module
from compacter_cli.t5.dropout import Dropout

STREAM = [229, 170, 219, 238, 248, 140, 177, 44]


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_the_share_that_is_kept_is_the_rates(rate):
    count = 1_000_000
    kept = Dropout(rate, 3).factors("place", count, "cpu").count_nonzero().item()
    deviation = (count * rate * (1 - rate)) ** 0.5
    assert abs(kept - count * (1 - rate)) < 4 * deviation + count / 65536


def test_what_is_kept_is_scaled_by_the_reciprocal_of_its_exact_share():
    # 0.1 * 65536 = 6553.6: one is dropped at 6554 of 65536 draws.
    values = Dropout(0.1, 3).factors("place", 1000, "cpu").unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 65536 / (65536 - 6554)]))


def test_the_draws_are_those_of_16_bits_of_the_generator():
    numbers = np.random.SFC64([7, 1]).random_raw(4)
    draws = [(int(n) >> shift) & 0xFFFF for n in numbers for shift in (0, 16, 32, 48)]
    signed = [draw - 65536 if draw >= 32768 else draw for draw in draws]
    wanted = [draw >= -32768 + 65536 * 0.25 for draw in signed]
    found = Dropout(0.25, 7, 1).factors("encoder.0.shares", 16, "cpu")
    assert (found > 0).tolist() == wanted


def test_the_stream_is_the_same_for_ever():
    # It decides what a run that goes on draws: another stream is another version of run states.
    found = Dropout(0.5, 42, 17, 1, 0).bits("place", 64, "cpu")
    assert found.tolist() == STREAM


def test_a_key_decides_the_stream():
    first = Dropout(0.5, 1, 2).bits("one", 4096, "cpu")
    assert torch.equal(first, Dropout(0.5, 1, 2).bits("one", 4096, "cpu"))
    for other in ([1, 3], [2, 1], [1, 2, 1], [12]):
        assert not torch.equal(first, Dropout(0.5, *other).bits("one", 4096, "cpu"))


def test_each_place_takes_the_next_part_of_the_stream_in_whole_bytes():
    dropout, whole = Dropout(0.5, 1), Dropout(0.5, 1).bits("all", 4096 + 16, "cpu")
    assert torch.equal(dropout.bits("one", 9, "cpu"), whole[:2])
    assert torch.equal(dropout.bits("other", 4096, "cpu"), whole[2:])


def test_a_place_that_is_come_to_again_has_what_it_had_and_moves_none():
    dropout, same = Dropout(0.5, 1), Dropout(0.5, 1)
    first, second = (dropout.bits(name, 800, "cpu") for name in ("one", "two"))
    assert torch.equal(dropout.bits("one", 800, "cpu"), first)
    assert torch.equal(dropout.bits("two", 800, "cpu"), second)
    same.bits("one", 800, "cpu"), same.bits("two", 800, "cpu")
    assert torch.equal(dropout.bits("three", 800, "cpu"), same.bits("three", 800, "cpu"))


def test_fewer_draws_are_the_beginning_of_more(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 64)
    long = Dropout(0.5, 1).factors("place", 500, "cpu")
    assert torch.equal(Dropout(0.5, 1).factors("place", 77, "cpu"), long[:77])
    monkeypatch.setattr(module, "CHUNK", 1 << 18)
    assert torch.equal(Dropout(0.5, 1).factors("place", 500, "cpu"), long)

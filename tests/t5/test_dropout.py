"""Dropout's draws: their rate, their scale, and what they depend on."""

import pytest
import torch

from compacter_cli.t5 import dropout as module
from compacter_cli.t5.dropout import Dropout


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
    generator = torch.Generator()
    generator.manual_seed(module.zlib.crc32(b"7/encoder.0.shares"))
    numbers = torch.empty(4, dtype=torch.int64).random_(-(1 << 63), None, generator=generator)
    draws = [(number >> shift) & 0xFFFF for number in numbers.tolist() for shift in (0, 16, 32, 48)]
    signed = [draw - 65536 if draw >= 32768 else draw for draw in draws]
    wanted = [draw >= -32768 + 65536 * 0.25 for draw in signed]
    found = Dropout(0.25, 7).factors("encoder.0.shares", 16, "cpu")
    assert (found > 0).tolist() == wanted


def test_each_place_and_each_step_draws_its_own():
    first = Dropout(0.5, 1).bits("one", 4096, "cpu")
    assert torch.equal(first, Dropout(0.5, 1).bits("one", 4096, "cpu"))
    assert not torch.equal(first, Dropout(0.5, 1).bits("other", 4096, "cpu"))
    assert not torch.equal(first, Dropout(0.5, 2).bits("one", 4096, "cpu"))


def test_fewer_draws_are_the_beginning_of_more(monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 64)
    long = Dropout(0.5, 1).factors("place", 500, "cpu")
    assert torch.equal(Dropout(0.5, 1).factors("place", 77, "cpu"), long[:77])
    monkeypatch.setattr(module, "CHUNK", 1 << 18)
    assert torch.equal(Dropout(0.5, 1).factors("place", 500, "cpu"), long)


def test_a_steps_seed_is_the_next_of_the_global_generator():
    torch.manual_seed(5)
    first, second = Dropout.drawn(0.1), Dropout.drawn(0.1)
    torch.manual_seed(5)
    assert Dropout.drawn(0.1) == first
    assert first != second

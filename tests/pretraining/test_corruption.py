"""Span corruption against reassembly: source and target together give the piece back."""

from itertools import pairwise

import numpy as np
import pytest

from compacter_cli.pretraining.corruption import corrupt, noise_mask, sentinels_needed
from compacter_cli.pretraining.sections import CorruptionSection
from compacter_cli.t5.vocabulary import END

SENTINELS = [900 + number for number in range(40)]
SECTION = CorruptionSection()


def reassembled(source, target):
    """The piece, put together token by token: at each sentinel what the target has behind it."""
    spans = {}
    for token in target:
        if token in SENTINELS:
            spans[token] = current = []
        else:
            current.append(token)
    piece = []
    for token in source:
        piece += spans[token] if token in SENTINELS else [token]
    return piece


def corrupted(length, seed=0, section=SECTION):
    ids = np.arange(10, 10 + length, dtype=np.int32)
    source, target = corrupt(ids, SENTINELS, section, np.random.default_rng(seed))
    assert source.pop() == target.pop() == END
    return ids.tolist(), source, target


@pytest.mark.parametrize("density", [0.15, 0.5, 0.9])
@pytest.mark.parametrize("mean", [1.0, 3.0])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 12, 48, 60])
def test_source_and_target_give_the_piece_back(length, mean, density):
    section = CorruptionSection(noise_density=density, mean_span_length=mean)
    needed = sentinels_needed(length, section)
    for seed in range(30):
        generator = np.random.default_rng(seed)
        ids = np.arange(1_000, 1_000 + length, dtype=np.int32)
        source, target = corrupt(ids, SENTINELS[:needed], section, generator)
        assert source.pop() == target.pop() == END
        assert reassembled(source, target) == ids.tolist()


def test_sentinels_stand_in_order_in_both_and_one_more_ends_the_target():
    for seed in range(50):
        _, source, target = corrupted(48, seed)
        inside = [token for token in source if token in SENTINELS]
        assert inside == SENTINELS[: len(inside)]
        assert [token for token in target if token in SENTINELS] == SENTINELS[: len(inside) + 1]
        assert target[-1] == SENTINELS[len(inside)]


def test_spans_stand_apart():
    for seed in range(50):
        _, source, _ = corrupted(48, seed)
        is_sentinel = [token in SENTINELS for token in source]
        assert not any(a and b for a, b in pairwise(is_sentinel))


@pytest.mark.parametrize(
    ("length", "noise", "spans"),
    [(2, 1, 1), (3, 1, 1), (10, 2, 1), (20, 3, 1), (48, 7, 2), (100, 15, 5), (512, 77, 26)],
)
def test_the_number_of_tokens_and_spans_is_t5s(length, noise, spans):
    # By hand: 15 % of the length and a third of that, both rounded, at least 1.
    for seed in range(20):
        mask = noise_mask(length, SECTION, np.random.default_rng(seed))
        assert mask.shape == (length,)
        assert mask.sum() == noise
        begins = int((mask & ~np.roll(mask, 1)).sum())  # around the end, as the roll goes
        assert begins == spans


def test_a_piece_of_one_token_goes_whole():
    ids, source, target = corrupted(1)
    assert (source, target) == ([SENTINELS[0]], [SENTINELS[0], *ids, SENTINELS[1]])


def test_every_place_is_taken_out_about_as_often():
    counts = sum(
        noise_mask(20, SECTION, np.random.default_rng(seed)).astype(int) for seed in range(2_000)
    )
    # 3 of 20 tokens, 2,000 times: 300 each, standard deviation 16.
    assert counts.min() > 220
    assert counts.max() < 380


def test_lengths_of_spans_are_random_with_the_mean_asked_for():
    lengths = []
    for seed in range(300):
        _, _, target = corrupted(48, seed)
        ends = [place for place, token in enumerate(target) if token in SENTINELS]
        lengths += [b - a - 1 for a, b in pairwise(ends)]
    assert {1, 2, 3, 4, 5, 6} <= set(lengths)
    assert 2.8 < sum(lengths) / len(lengths) <= 3.5  # 7 tokens in 2 spans, some rolled apart


def test_the_generator_alone_decides():
    assert corrupted(48, seed=3) == corrupted(48, seed=3)
    assert corrupted(48, seed=3) != corrupted(48, seed=4)


@pytest.mark.parametrize("length", [1, 2, 3, 10, 48, 100])
def test_as_many_sentinels_as_needed_and_no_more(length):
    needed = sentinels_needed(length, SECTION)
    used = 0
    for tokens in range(1, length + 1):
        for seed in range(20):
            _, _, target = corrupted(tokens, seed)
            used = max(used, sum(token in SENTINELS for token in target))
    assert used <= needed
    # A roll divides no span of one token, and such a piece needs one less.
    assert used >= needed - (length <= 9)

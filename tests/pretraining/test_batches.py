"""Which pieces a step sees: every one once an epoch, whatever came before."""

import numpy as np
import pytest

from compacter_cli.pretraining.batches import SpanBatches
from compacter_cli.pretraining.pieces import Pieces
from compacter_cli.pretraining.recipe import CorruptionSection

SENTINELS = list(range(3, 13))


def batches(count=10, size=4, seed=42):
    """Batches over pieces of two tokens, the first of which is 100 plus the piece's number."""
    ids = np.array([[100 + n, 500 + n] for n in range(count)], np.int32).ravel()
    pieces = Pieces(ids, np.arange(count + 1) * 2)
    return SpanBatches(pieces, SENTINELS, CorruptionSection(), size, seed, "cpu")


def pieces_in(batch):
    """Numbers of the pieces of a batch: each token is in the source or in the target."""
    rows = zip(batch.source_ids.tolist(), batch.target_ids.tolist(), strict=True)
    return [next(t - 100 for t in [*a, *b] if 100 <= t < 500) for a, b in rows]


@pytest.mark.parametrize("size", [1, 4, 10, 25])
def test_every_piece_is_seen_once_an_epoch_in_another_order_each(size):
    made = batches(size=size)
    seen = [number for step in range(100 // size) for number in pieces_in(made.at(step))]
    epochs = [seen[start : start + 10] for start in range(0, 100, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5


def test_a_step_sees_the_same_whatever_came_before():
    made, fresh = batches(), batches()
    for step in range(7):
        made.at(step)
    assert made.at(7).source_ids.equal(fresh.at(7).source_ids)
    assert made.at(7).target_ids.equal(fresh.at(7).target_ids)
    assert made.at(0).source_ids.equal(fresh.at(0).source_ids)  # back again


def test_the_seed_decides_order_and_corruption():
    assert pieces_in(batches(seed=1).at(0)) != pieces_in(batches(seed=2).at(0))


def test_a_piece_is_corrupted_anew_each_time():
    made = batches(count=1, size=1)
    assert len({tuple(made.at(step).source_ids.ravel().tolist()) for step in range(20)}) == 2


def test_all_gives_every_piece_once_in_order_and_always_alike():
    made = batches()
    first, again = list(made.all()), list(made.all())
    assert [number for batch in first for number in pieces_in(batch)] == list(range(10))
    assert [len(batch) for batch in first] == [4, 4, 2]
    for a, b in zip(first, again, strict=True):
        assert a.source_ids.equal(b.source_ids)
        assert a.target_ids.equal(b.target_ids)

"""What a step sees: every piece and exercise once an epoch, whatever came before."""

import numpy as np
import pytest

from compacter_cli.pretraining.batches import Batches, Exercises, Spans, Visits
from compacter_cli.pretraining.pieces import Pieces
from compacter_cli.pretraining.sections import CorruptionSection, TrainSection

SENTINELS = list(range(3, 13))


def spans(count=10, seed=42):
    """Pieces of two tokens, the first of which is 100 plus the piece's number."""
    ids = np.array([[100 + n, 500 + n] for n in range(count)], np.int32).ravel()
    return Spans(Pieces(ids, np.arange(count + 1) * 2), SENTINELS, CorruptionSection(), seed)


def pairs(count=7):
    """Exercises that tell their number: 200 plus it asked, 300 plus it answered."""
    return [([200 + n, 1], [300 + n, 1]) for n in range(count)]


def batches(size=4, share=0.5, exercises=None, count=10, seed=42):
    section = TrainSection(batch_size=size, exercise_share=share)
    practised = Exercises(exercises, seed) if exercises else None
    return Batches(spans(count, seed), practised, section, "cpu")


def rows(batch):
    """The (source, target) tokens of a batch's rows, padding and end tokens left out."""
    both = zip(batch.source_ids.tolist(), batch.target_ids.tolist(), strict=True)
    return [tuple([t for t in row if t > 1] for row in pair) for pair in both]


def pieces_in(batch):
    """Numbers of the pieces of a batch: each token is in the source or in the target."""
    return [next(t - 100 for t in [*a, *b] if 100 <= t < 200) for a, b in rows(batch)]


@pytest.mark.parametrize("size", [1, 4, 10, 25])
def test_every_piece_is_seen_once_an_epoch_in_another_order_each(size):
    made = batches(size=size)
    seen = [number for step in range(100 // size) for number in pieces_in(made.at(step))]
    epochs = [seen[start : start + 10] for start in range(0, 100, 10)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 5


@pytest.mark.parametrize("exercises", [None, pairs()])
def test_a_step_sees_the_same_whatever_came_before(exercises):
    made, fresh = batches(exercises=exercises), batches(exercises=exercises)
    for step in range(9):
        made.at(step)
    for step in (9, 0):  # on, and back again
        assert made.at(step).source_ids.equal(fresh.at(step).source_ids)
        assert made.at(step).target_ids.equal(fresh.at(step).target_ids)


def test_the_seed_decides_order_and_corruption():
    assert pieces_in(batches(seed=1).at(0)) != pieces_in(batches(seed=2).at(0))


def test_a_piece_is_corrupted_anew_each_time():
    made = batches(count=1, size=1)
    assert len({tuple(made.at(step).source_ids.ravel().tolist()) for step in range(20)}) == 2


def test_what_is_held_out_comes_once_in_order_and_always_alike():
    held_out = spans()
    first, again = (list(held_out.batches(4, "cpu")) for _ in range(2))
    assert [number for batch in first for number in pieces_in(batch)] == list(range(10))
    assert [len(batch) for batch in first] == [4, 4, 2]
    for a, b in zip(first, again, strict=True):
        assert a.source_ids.equal(b.source_ids)
        assert a.target_ids.equal(b.target_ids)


@pytest.mark.parametrize(
    ("size", "share", "pieces", "exercises"),
    [(32, 0.6, 13, 19), (10, 0.25, 8, 2), (4, 0.0, 4, 0), (4, 1.0, 0, 4), (1, 0.4, 1, 0)],
)
def test_a_batch_holds_the_share_of_exercises_pieces_first(size, share, pieces, exercises):
    made = batches(size, share, pairs())
    assert (made.pieces, made.exercises) == (pieces, exercises)
    seen = rows(made.at(3))
    assert len(seen) == size
    assert all(source[0] < 200 and target[0] < 200 for source, target in seen[:pieces])
    asked = [source[0] - 200 for source, _ in seen[pieces:]]
    assert seen[pieces:] == [([200 + number], [300 + number]) for number in asked]


def test_without_exercises_a_batch_is_all_pieces_whatever_the_share():
    made = batches(share=1.0)
    assert (made.pieces, made.exercises) == (4, 0)
    assert len(pieces_in(made.at(0))) == 4


@pytest.mark.parametrize(("count", "size"), [(7, 3), (7, 7), (3, 8), (1, 2)])
def test_exercises_come_in_endless_permutations(count, size):
    made = Exercises(pairs(count), 42)
    assert len(made) == count
    seen = [source[0] - 200 for step in range(6 * count) for source, _ in made.at(step, size)]
    epochs = [tuple(seen[start : start + count]) for start in range(0, len(seen), count)]
    assert len(epochs) == 6 * size
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert count < 3 or len(set(epochs)) > 3


def test_pieces_and_exercises_are_not_visited_in_the_same_order():
    numbers = [Visits(50, 42, name).at(0, 50) for name in ("order", "exercises")]
    assert numbers[0] != numbers[1]
    assert sorted(numbers[0]) == sorted(numbers[1]) == list(range(50))


@pytest.mark.parametrize(
    ("share", "epochs"),
    [(0.0, [1, 1, 1, 2, 2, 3]), (0.5, [1, 1, 1, 1, 1, 2]), (1.0, [1, 1, 1, 1, 1, 1])],
)
def test_an_epoch_is_of_the_text_alone(share, epochs):
    # 10 pieces, 4 or 2 or none a step: the last step of an epoch may begin the next.
    made = batches(4, share, pairs())
    assert [made.epoch(step) for step in range(6)] == epochs
    assert made.epochs(6) == pytest.approx(6 * made.pieces / 10)

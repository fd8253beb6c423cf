"""Which examples a step sees, and how corrupted: from seed and step alone, so that runs resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compacter_cli.pretraining.corruption import Pair, corrupt
from compacter_cli.section import seed_of
from compacter_cli.t5.batch import Batch, collate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy import int64
    from numpy.random import Generator
    from numpy.typing import NDArray

    from compacter_cli.pretraining.pieces import Pieces
    from compacter_cli.pretraining.sections import CorruptionSection, TrainSection


class Spans:
    """Pieces of text with spans taken out.

    Args:
        pieces: the text.
        sentinels: token ids of the sentinels.
        section: the recipe's corruption section.
        seed: with a step it decides what is seen and how it is corrupted.
    """

    def __init__(
        self, pieces: Pieces, sentinels: Sequence[int], section: CorruptionSection, seed: int
    ) -> None:
        self.pieces, self._sentinels, self._section, self._seed = pieces, sentinels, section, seed
        self._visits = Visits(len(pieces), seed, "order")

    def __len__(self) -> int:
        return len(self.pieces)

    def at(self, step: int, size: int) -> list[Pair]:
        """The `size` pairs of `step`, 0 first."""
        generator = _generator(self._seed, f"corruption/{step}")
        return [self._pair(index, generator) for index in self._visits.at(step, size)]

    def batches(self, size: int, device: str) -> Iterator[Batch]:
        """Batches of every piece once, in order and always corrupted alike."""
        for start in range(0, len(self), size):
            generator = _generator(self._seed, f"validation/{start}")
            chosen = range(start, min(start + size, len(self)))
            yield _batch_of([self._pair(index, generator) for index in chosen], device)

    def _pair(self, index: int, generator: Generator) -> Pair:
        return corrupt(self.pieces[index], self._sentinels, self._section, generator)


class Exercises:
    """Sources with their targets, as they are.

    Args:
        pairs: token ids, with their end tokens.
        seed: with a step it decides what is seen.
    """

    def __init__(self, pairs: Sequence[Pair], seed: int) -> None:
        self._pairs, self._visits = pairs, Visits(len(pairs), seed, "exercises")

    def __len__(self) -> int:
        return len(self._pairs)

    def at(self, step: int, size: int) -> list[Pair]:
        """The `size` pairs of `step`, 0 first."""
        return [self._pairs[index] for index in self._visits.at(step, size)]


class Batches:
    """Batches of corrupted pieces and, where there are any, exercises.

    Args:
        spans: the text.
        exercises: what is practised beside it.
        section: the recipe's train section.
        device: torch device name.

    Attributes:
        pieces, exercises: how many of each are in a batch.
    """

    def __init__(
        self, spans: Spans, exercises: Exercises | None, section: TrainSection, device: str
    ) -> None:
        self.spans, self._exercises, self._device = spans, exercises, device
        share = section.exercise_share if exercises else 0.0
        self.exercises = round(section.batch_size * share)
        self.pieces = section.batch_size - self.exercises

    def at(self, step: int) -> Batch:
        """The batch of `step`, 0 first: its pieces, then its exercises."""
        pairs = self.spans.at(step, self.pieces) if self.pieces else []
        if self._exercises and self.exercises:
            pairs += self._exercises.at(step, self.exercises)
        return _batch_of(pairs, self._device)

    def epoch(self, step: int) -> int:
        """How many times the text was begun by the end of `step`, 0 first."""
        return step * self.pieces // len(self.spans) + 1

    def epochs(self, steps: int) -> float:
        """How many times the text is seen in `steps` steps."""
        return steps * self.pieces / len(self.spans)


class Visits:
    """An endless row of permutations of `count` things, drawn from a seed and a name."""

    def __init__(self, count: int, seed: int, name: str) -> None:
        self._count, self._seed, self._name = count, seed, name
        self._drawn: tuple[int, NDArray[int64]] | None = None  # the latest epoch and its order

    def at(self, step: int, size: int) -> list[int]:
        """The indices that `step` visits, `size` a step."""
        return [self._index(place) for place in range(step * size, (step + 1) * size)]

    def _index(self, place: int) -> int:
        epoch, place = divmod(place, self._count)
        return int(self._order(epoch)[place])

    def _order(self, epoch: int) -> NDArray[int64]:
        if self._drawn is None or self._drawn[0] != epoch:
            generator = _generator(self._seed, f"{self._name}/{epoch}")
            self._drawn = epoch, generator.permutation(self._count)
        return self._drawn[1]


def _batch_of(pairs: Sequence[Pair], device: str) -> Batch:
    sources, targets = zip(*pairs, strict=True)
    return collate(sources, targets, device)


def _generator(seed: int, name: str) -> Generator:
    import numpy as np

    return np.random.default_rng(seed_of(seed, name))

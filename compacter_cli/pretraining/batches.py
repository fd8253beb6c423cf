"""Which examples a step sees, and how corrupted: from seed and step alone, so that runs resume."""

from compacter_cli.methods.base import seed_of
from compacter_cli.pretraining.corruption import corrupt
from compacter_cli.t5.batch import collate


class Spans:
    """Pieces of text with spans taken out.

    Args:
        pieces: `Pieces`.
        sentinels: token ids of the sentinels.
        section: the recipe's corruption section.
        seed: int. With a step it decides what is seen and how it is corrupted.
    """

    def __init__(self, pieces, sentinels, section, seed):
        self.pieces, self._sentinels, self._section, self._seed = pieces, sentinels, section, seed
        self._visits = Visits(len(pieces), seed, "order")

    def __len__(self):
        return len(self.pieces)

    def at(self, step, size):
        """The `size` (source, target) pairs of `step`, 0 first."""
        generator = _generator(self._seed, f"corruption/{step}")
        return [self._pair(index, generator) for index in self._visits.at(step, size)]

    def batches(self, size, device):
        """`Batch`es of every piece once, in order and always corrupted alike."""
        for start in range(0, len(self), size):
            generator = _generator(self._seed, f"validation/{start}")
            chosen = range(start, min(start + size, len(self)))
            yield collate(*zip(*(self._pair(i, generator) for i in chosen), strict=True), device)

    def _pair(self, index, generator):
        return corrupt(self.pieces[index], self._sentinels, self._section, generator)


class Exercises:
    """Sources with their targets, as they are.

    Args:
        pairs: list of (source, target), token ids with their end tokens.
        seed: int. With a step it decides what is seen.
    """

    def __init__(self, pairs, seed):
        self._pairs, self._visits = pairs, Visits(len(pairs), seed, "exercises")

    def __len__(self):
        return len(self._pairs)

    def at(self, step, size):
        """The `size` (source, target) pairs of `step`, 0 first."""
        return [self._pairs[index] for index in self._visits.at(step, size)]


class Batches:
    """Batches of corrupted pieces and, where there are any, exercises.

    Args:
        spans: `Spans`.
        exercises: `Exercises` or `None`.
        section: the recipe's train section.
        device: torch device name.
    """

    def __init__(self, spans, exercises, section, device):
        self._device = device
        share = section.exercise_share if exercises else 0.0
        self.practised = round(section.batch_size * share)  # exercises of a batch
        self.read = section.batch_size - self.practised  # pieces of a batch
        self.spans, self._exercises = spans, exercises

    def at(self, step):
        """The `Batch` of `step`, 0 first."""
        pairs = self.spans.at(step, self.read) if self.read else []
        if self.practised:
            pairs += self._exercises.at(step, self.practised)
        return collate(*zip(*pairs, strict=True), self._device)

    def epoch(self, step):
        """How many times the text was begun by the end of `step`, 0 first."""
        return step * self.read // len(self.spans) + 1


class Visits:
    """An endless row of permutations of `count` things, drawn from a seed and a name."""

    def __init__(self, count, seed, name):
        self._count, self._seed, self._name = count, seed, name
        self._order = (None, None)

    def at(self, step, size):
        """The indices that `step` visits, `size` a step."""
        return [self._index(place) for place in range(step * size, (step + 1) * size)]

    def _index(self, place):
        epoch, place = divmod(place, self._count)
        if self._order[0] != epoch:
            generator = _generator(self._seed, f"{self._name}/{epoch}")
            self._order = (epoch, generator.permutation(self._count))
        return self._order[1][place]


def _generator(seed, name):
    import numpy as np

    return np.random.default_rng(seed_of(seed, name))

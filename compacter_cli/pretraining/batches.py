"""Which pieces a step sees, and how corrupted: from seed and step alone, so that runs resume."""

from compacter_cli.dataset import collate
from compacter_cli.methods.base import seed_of
from compacter_cli.pretraining.corruption import corrupt


class SpanBatches:
    """Batches of corrupted pieces.

    Args:
        pieces: `Pieces`.
        sentinels: token ids of the sentinels.
        section: the recipe's corruption section.
        size: pieces of a batch.
        seed: int. With the step it decides a batch.
        device: torch device name.
    """

    def __init__(self, pieces, sentinels, section, size, seed, device):
        self.pieces, self.size, self.seed = pieces, size, seed
        self._sentinels, self._section, self._device = sentinels, section, device
        self._order = (None, None)

    def at(self, step):
        """The batch of `step` (0 first): the next pieces of an endless row of permutations."""
        first = step * self.size
        chosen = [self._piece_at(position) for position in range(first, first + self.size)]
        return self._batch(chosen, f"corruption/{step}")

    def all(self):
        """Batches of every piece once, in order and always corrupted alike."""
        for start in range(0, len(self.pieces), self.size):
            chosen = range(start, min(start + self.size, len(self.pieces)))
            yield self._batch(chosen, f"validation/{start}")

    def _piece_at(self, position):
        epoch, place = divmod(position, len(self.pieces))
        if self._order[0] != epoch:
            order = self._generator(f"order/{epoch}").permutation(len(self.pieces))
            self._order = (epoch, order)
        return self._order[1][place]

    def _batch(self, chosen, name):
        generator = self._generator(name)
        pairs = [
            corrupt(self.pieces[index], self._sentinels, self._section, generator)
            for index in chosen
        ]
        return collate(*zip(*pairs, strict=True), self._device)

    def _generator(self, name):
        import numpy as np

        return np.random.default_rng(seed_of(self.seed, name))

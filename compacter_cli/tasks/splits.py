"""The paper's split rules: which rows train, which validate, which test."""

from abc import abstractmethod
from array import array
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, TypeVar

_Row = TypeVar("_Row")  # whatever a task's rows are
HELD_OUT_ROWS = 1_000  # training rows that validate in the large tasks


class PlacedRows(Sequence[_Row]):
    """Rows that lie somewhere else, and are read when they are asked for."""

    @abstractmethod
    def taken(self, order: Iterable[int]) -> "PlacedRows[_Row]":
        """The rows of the numbers in `order`, unread as these are."""


def taken(rows: Sequence[_Row], order: Iterable[int]) -> Sequence[_Row]:
    """The rows of the numbers in `order`."""
    return rows.taken(order) if isinstance(rows, PlacedRows) else [rows[i] for i in order]


def permutation(length: int, seed: int) -> "array[int]":
    """`torch.randperm(length)` by a generator of its own."""
    import torch

    drawn = torch.randperm(length, generator=torch.Generator().manual_seed(seed))
    return array("q", drawn.numpy().tobytes())


class SplitRule:
    """How a task's official splits become training, validation and test rows.

    Rows are in their original order, and a permutation of it is drawn from the data seed alone,
    so that a run's own seed leaves the splits as they are.

    Attributes:
        words: the rule as people read it.
        reads: names of the official splits that it needs.
    """

    words: ClassVar[str]
    reads: ClassVar[tuple[str, ...]] = ("train", "validation")

    def apply(self, splits: Mapping[str, Sequence[_Row]], seed: int) -> dict[str, Sequence[_Row]]:
        """`{"train": rows, "validation": rows, "test": rows}` of the official `splits`."""
        raise NotImplementedError

    def sizes(self, counts: Mapping[str, int]) -> dict[str, int]:
        """Rows of the three splits, from official `counts` alone; needs no framework."""
        raise NotImplementedError


class HalvedValidation(SplitRule):
    """The small tasks: the validation set is halved, its first half (rounded down) validates."""

    words = "validation set halved: first half validation, second half test"

    def apply(self, splits: Mapping[str, Sequence[_Row]], seed: int) -> dict[str, Sequence[_Row]]:
        order = permutation(len(splits["validation"]), seed)
        halved = taken(splits["validation"], order)
        half = len(order) // 2
        return {"train": splits["train"], "validation": halved[:half], "test": halved[half:]}

    def sizes(self, counts: Mapping[str, int]) -> dict[str, int]:
        half = counts["validation"] // 2
        return {
            "train": counts["train"],
            "validation": half,
            "test": counts["validation"] - half,
        }


class HeldOutTraining(SplitRule):
    """The large tasks: 1,000 training rows validate, the original validation set is the test."""

    words = "1,000 training rows validate, the original validation set is the test"

    def apply(self, splits: Mapping[str, Sequence[_Row]], seed: int) -> dict[str, Sequence[_Row]]:
        order = permutation(len(splits["train"]), seed)
        drawn = taken(splits["train"], order)
        return {
            "train": drawn[HELD_OUT_ROWS:],
            "validation": drawn[:HELD_OUT_ROWS],
            "test": splits["validation"],
        }

    def sizes(self, counts: Mapping[str, int]) -> dict[str, int]:
        return {
            "train": counts["train"] - HELD_OUT_ROWS,
            "validation": HELD_OUT_ROWS,
            "test": counts["validation"],
        }


class MismatchedMatched(SplitRule):
    """MNLI: validated on the mismatched genres, tested on the matched ones."""

    words = "mismatched validation set validates, matched one is the test"
    reads = ("train", "validation_mismatched", "validation_matched")

    def apply(self, splits: Mapping[str, Sequence[_Row]], seed: int) -> dict[str, Sequence[_Row]]:
        train, validation, test = (splits[name] for name in self.reads)
        return {"train": train, "validation": validation, "test": test}

    def sizes(self, counts: Mapping[str, int]) -> dict[str, int]:
        train, validation, test = (counts[name] for name in self.reads)
        return {"train": train, "validation": validation, "test": test}


HALVED_VALIDATION = HalvedValidation()
HELD_OUT_TRAINING = HeldOutTraining()
MISMATCHED_MATCHED = MismatchedMatched()

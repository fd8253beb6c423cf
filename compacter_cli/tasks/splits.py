"""The paper's split rules: which rows train, which validate, which test."""

from abc import abstractmethod
from array import array
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
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


def divided(
    rows: Sequence[_Row], first: int, seed: int, group: Callable[[_Row], Hashable] | None = None
) -> tuple[Sequence[_Row], Sequence[_Row]]:
    """The `first` rows of a permutation drawn from `seed`, and the others, in its order.

    Args:
        group: what rows have in common that must lie on one side. Groups are taken whole, as
            their first row is drawn, until there are `first` rows or more.
    """
    order = permutation(len(rows), seed)
    sides = order[:first], order[first:]
    if group is not None:
        sides = _with_their_groups(order, first, list(map(group, rows)))
    return taken(rows, sides[0]), taken(rows, sides[1])


def _with_their_groups(
    order: Sequence[int], first: int, groups: Sequence[Hashable]
) -> "tuple[array[int], array[int]]":
    """The numbers in `order` on each of two sides, of which the first has `first` or more."""
    sizes, before, count = Counter(groups), set[Hashable](), 0
    for number in order:
        if count < first and groups[number] not in before:
            before.add(groups[number])
            count += sizes[groups[number]]
    return (
        array("q", (number for number in order if groups[number] in before)),
        array("q", (number for number in order if groups[number] not in before)),
    )


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

    def sizes_of(self, splits: Mapping[str, Sequence[_Row]], seed: int) -> dict[str, int]:
        """Rows of the three splits, from the official ones, where they may hang on what is read."""
        del seed
        return self.sizes({name: len(rows) for name, rows in splits.items()})


class HalvedValidation(SplitRule):
    """The small tasks: the validation set is halved, its first half (rounded down) validates."""

    words = "validation set halved: first half validation, second half test"

    def apply(self, splits: Mapping[str, Sequence[_Row]], seed: int) -> dict[str, Sequence[_Row]]:
        rows = splits["validation"]
        validation, test = divided(rows, len(rows) // 2, seed)
        return {"train": splits["train"], "validation": validation, "test": test}

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
        validation, train = divided(splits["train"], HELD_OUT_ROWS, seed)
        return {"train": train, "validation": validation, "test": splits["validation"]}

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

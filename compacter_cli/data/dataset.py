"""Rows to token ids to batches: the paper's splits, tokenised once, padded batch by batch."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING

from compacter_cli.data.token_cache import encode
from compacter_cli.data.tokens import Tokens
from compacter_cli.errors import CompacterError, excerpt
from compacter_cli.recipe.labels import check_labels
from compacter_cli.t5.batch import Batch, TokenLists, collate
from compacter_cli.t5.vocabulary import END
from compacter_cli.tasks.splits import permutation, taken

if TYPE_CHECKING:
    import torch

    from compacter_cli.data.rows import Origin, Rows
    from compacter_cli.recipe.sections import ExamplesSection
    from compacter_cli.t5.vocabulary import Vocabulary
    from compacter_cli.tasks.base import Row, Task


@dataclass(frozen=True)
class Split:
    """Tokenised examples of one split.

    Attributes:
        name: "train", "validation" or "test".
        sources: token ids of each source, end token included, cut to the source length.
        targets: token ids of each target, end token included.
        rows: the row of each example; those of an own file that trains are read again from it.
        truncated: how many sources were cut.
    """

    name: str
    sources: TokenLists
    targets: TokenLists
    rows: Sequence[Row]
    truncated: int

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True)
class Dataset:
    """A task's three splits as the paper makes them.

    Attributes:
        answer_length: tokens after which an answer is complete, end token included.
        origin: where the rows came from.
        unwritable: training targets of free text that the vocabulary cannot write as they are.
        blank: rows with an empty text, as `Rows` has them.
    """

    train: Split
    validation: Split
    test: Split
    answer_length: int
    origin: Origin
    unwritable: int = 0
    blank: Mapping[str, int] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """A hash of all examples in their order, as the model reads them."""
        digest = hashlib.sha256()
        for split in self.splits.values():
            for ids in chain(split.sources, split.targets):
                digest.update(array("q", [len(ids), *ids]).tobytes())
        return digest.hexdigest()

    @property
    def splits(self) -> dict[str, Split]:
        """The three splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def split(self, name: str) -> Split:
        """The split called "train", "validation" or "test"."""
        return self.splits[name]


def build_dataset(
    task: Task,
    rows: Rows,
    vocabulary: Vocabulary,
    section: ExamplesSection,
    seed: int,
) -> Dataset:
    """Split and tokenise `rows`.

    Args:
        task: the task.
        rows: its rows.
        vocabulary: the backbone's.
        section: the resolved recipe's data section; its `seed` decides the splits.
        seed: the run's seed; it draws the subset where `max_train_samples` is set.

    Raises:
        CompacterError: a target is longer than `section.target_length`, or `vocabulary` cannot
            write a label.
    """
    check_labels(task.targets, vocabulary)
    splits = task.split.apply(rows.splits, section.seed)
    for name in ("validation", "test"):
        splits[name] = list(splits[name])  # scored, again and again, as they are now
    splits["train"] = task.training_rows(splits["train"])
    if section.max_train_samples:
        splits["train"] = subset(splits["train"], section.max_train_samples, seed)
    tokenised = {
        name: tokenise(task, name, split, vocabulary, section) for name, split in splits.items()
    }
    return Dataset(
        **tokenised,
        answer_length=answer_length(task, vocabulary, section),
        origin=rows.origin,
        unwritable=0 if task.targets else _unwritable(task, tokenised["train"], vocabulary),
        blank=rows.blank,
    )


def _unwritable(task: Task, split: Split, vocabulary: Vocabulary) -> int:
    """How many targets do not come back from their tokens as they were."""
    pairs = zip(split.targets, map(task.target, split.rows), strict=True)
    return sum(vocabulary.decode(ids[:-1]) != target for ids, target in pairs)


def answer_length(task: Task, vocabulary: Vocabulary, section: ExamplesSection) -> int:
    """Tokens after which decoding may stop: the longest label's, or `target_length` for free text.

    The end token is counted.
    """
    return vocabulary.longest(task.targets)[1] if task.targets else section.target_length


def subset(rows: Sequence[Row], size: int, seed: int) -> Sequence[Row]:
    """`size` of `rows`, drawn from `seed`, in the rows' own order; all where there are fewer."""
    return taken(rows, sorted(permutation(len(rows), seed)[:size]))


def with_prefix(text: str, prefix: str | None) -> str:
    """The text that the model reads: a source text, behind the prefix where there is one."""
    return f"{prefix} {text}" if prefix else text


def encode_sources(
    texts: Iterable[str], vocabulary: Vocabulary, source_length: int
) -> tuple[Tokens, int]:
    """`(token ids of each text, how many were cut)`; every one ends with the end token."""
    truncated = 0

    def cut(ids: list[int]) -> list[int]:
        nonlocal truncated
        truncated += len(ids) + 1 > source_length
        return [*ids[: source_length - 1], END]

    return Tokens.of(map(cut, encode(vocabulary, texts))), truncated


def tokenise(
    task: Task,
    name: str,
    rows: Sequence[Row],
    vocabulary: Vocabulary,
    section: ExamplesSection,
) -> Split:
    """The `Split` called `name` of `rows`, by the vocabulary of the backbone that reads them.

    Raises:
        CompacterError: a target is longer than `section.target_length`.
    """
    texts = (with_prefix(task.source(row), section.prefix) for row in rows)
    sources, truncated = encode_sources(texts, vocabulary, section.source_length)
    encoded = encode(vocabulary, map(task.target, rows))
    split = Split(name, sources, Tokens.of([*ids, END] for ids in encoded), rows, truncated)
    _check_targets(task, split, section.target_length)
    return split


def _check_targets(task: Task, split: Split, most: int) -> None:
    place, length = max(enumerate(map(len, split.targets)), key=itemgetter(1))
    if length > most:
        text = excerpt(task.target(split.rows[place]))
        raise CompacterError(
            f'{task.name}, {split.name}: the target "{text}" is {length} tokens long, '
            f"more than data.target_length = {most}",
            f"--set data.target_length={length}, which is the longest of {split.name}",
        )


def shuffled_order(length: int, data_seed: int, seed: int, epoch: int) -> array[int]:
    """The order of an epoch's examples: a random one, drawn from data seed, seed and epoch."""
    import numpy as np

    order = np.random.default_rng([data_seed, seed, epoch]).permutation(length)
    return array("q", order.astype(np.int64).tobytes())


def batches(
    split: Split, size: int, device: str | torch.device, order: Sequence[int] | None = None
) -> Iterator[Batch]:
    """The `Batch`es of a split, each padded to its longest example; in file order by default."""
    order = range(len(split)) if order is None else order
    for start in range(0, len(split), size):
        yield collated(split, order[start : start + size], device)


def collated(split: Split, chosen: Iterable[int], device: str | torch.device) -> Batch:
    """The `Batch` of the `chosen` examples of a split, padded to the longest."""
    places = list(chosen)
    return collate([split.sources[i] for i in places], [split.targets[i] for i in places], device)

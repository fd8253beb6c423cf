"""What may surprise in files of one's own: lopsided labels, doubles, empty and long texts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compacter_cli.data.dataset import tokenise
from compacter_cli.t5.vocabulary import END

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from compacter_cli.data.dataset import Split
    from compacter_cli.data.rows import Splits
    from compacter_cli.recipe.sections import ExamplesSection
    from compacter_cli.t5.vocabulary import Vocabulary
    from compacter_cli.tasks.base import Task

MOST = 10_000  # rows of a file that a dry run looks at; a run looks at all


@dataclass(frozen=True)
class Survey:
    """What is to be known of examples before they are trained on, as the model reads them.

    Attributes:
        examples: how many were looked at, by split.
        labels: how many training examples each label has; empty for free text.
        unscored: labels that no example of each other split has.
        repeated: training sources that are there again, after the first of each.
        shared: sources of each other split that are training sources, too.
        cut: sources of each split that are longer than the source length.
        blank: rows of each file in which a column that the source reads is empty.
        mean_source, mean_target: tokens of a training example, end tokens included.
    """

    examples: dict[str, int]
    labels: dict[str, int]
    repeated: int
    shared: dict[str, int]
    cut: dict[str, int]
    blank: dict[str, int] = field(default_factory=dict)
    unscored: dict[str, list[str]] = field(default_factory=dict)
    mean_source: float = 0.0
    mean_target: float = 0.0


def survey(
    task: Task,
    splits: Mapping[str, Split],
    vocabulary: Vocabulary,
    blank: Mapping[str, int],
) -> Survey:
    """The `Survey` of tokenised splits, "train" among them; `blank` is that of their `Rows`."""
    train = splits["train"]
    trained = {hash(tuple(ids)) for ids in train.sources}
    others = {name: split for name, split in splits.items() if name != "train"}
    return Survey(
        examples={name: len(split) for name, split in splits.items()},
        labels=_labels(task.targets, train, vocabulary),
        unscored={
            name: _without(_labels(task.targets, split, vocabulary))
            for name, split in others.items()
        },
        repeated=len(train) - len(trained),
        shared={
            name: sum(hash(tuple(ids)) in trained for ids in split.sources)
            for name, split in others.items()
        },
        cut={name: split.truncated for name, split in splits.items()},
        blank=dict(blank),
        mean_source=sum(map(len, train.sources)) / len(train),
        mean_target=sum(map(len, train.targets)) / len(train),
    )


def _labels(targets: Sequence[str], split: Split, vocabulary: Vocabulary) -> dict[str, int]:
    """How many examples have each target text, those that have none included."""
    counted = Counter(map(tuple, split.targets))
    encoded = vocabulary.encode(targets)
    return {text: counted[(*ids, END)] for text, ids in zip(targets, encoded, strict=True)}


def _without(labels: Mapping[str, int]) -> list[str]:
    """Those of counted labels that no example has."""
    return [text for text, count in labels.items() if not count]


def survey_of_files(
    task: Task,
    splits: Splits,
    vocabulary: Vocabulary,
    section: ExamplesSection,
    blank: Mapping[str, int],
) -> Survey:
    """The `Survey` of the first `MOST` rows of each file, before any is divided.

    Raises:
        CompacterError: a target is longer than the section's `target_length`.
    """
    found = {
        name: tokenise(task, name, rows[:MOST], vocabulary, section)
        for name, rows in splits.items()
    }
    return survey(task, found, vocabulary, blank)

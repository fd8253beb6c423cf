"""The passages of a text, from files or from the demo world, and which of them are held out."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from compacter_cli.data.text_files import read_lines
from compacter_cli.errors import CompacterError, MissingResourceError, counted, user_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from compacter_cli.pretraining.sections import TextSection


@dataclass(frozen=True)
class Corpus:
    """The passages of a text.

    Attributes:
        train, validation: distinct passages, none in both.
        repeated: how many passages were left out because they had been there before.
        sha256: hash of all passages in their order: two texts are the same where it is.
        exercises: sources with their targets.
    """

    train: list[str]
    validation: list[str]
    repeated: int
    sha256: str
    exercises: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.train) + len(self.validation)

    def trained_texts(self) -> list[str]:
        """Everything that is trained on: what the vocabulary is made from."""
        return [*self.train, *(" ".join(pair) for pair in self.exercises)]


def check_text(section: TextSection) -> None:
    """Say at once that a file of the text section is not there.

    Raises:
        MissingResourceError: it names the file.
    """
    for path in map(user_path, section.files or ()):
        if not os.path.isfile(path):  # nor of a name too long for a file, where Path's own fails
            raise MissingResourceError(
                f"text.files: there is no file {path}",
                "a path is taken from the directory in which compacter runs",
            )


def read_corpus(section: TextSection) -> Corpus:
    """The text of a recipe's text section.

    Raises:
        MissingResourceError: a file is not there.
        CompacterError: a file is no text in UTF-8 (the line is named), or there are too few
            passages.
    """
    check_text(section)
    passages = list(_paragraphs(section) if section.files is None else _lines(section.files))
    distinct = list(dict.fromkeys(passages))
    if len(distinct) < 2:
        where = "the demo world" if section.files is None else ", ".join(section.files)
        raise CompacterError(
            f"{where}: {counted(len(distinct), 'passage')}, at least 2 are needed, one of them to "
            "hold out",
            "give a text of many lines, a passage each",
        )
    train, validation = _cut(distinct, section)
    exercises = tuple(_exercises(section)) if section.world_exercises else ()
    repeated = len(passages) - len(distinct)
    sha256 = _hash_of([*distinct, *map("\t".join, exercises)])
    return Corpus(train, validation, repeated, sha256, exercises)


def _paragraphs(section: TextSection) -> Iterator[str]:
    from compacter_cli.world.text import paragraphs

    return islice(paragraphs(section.seed, without=demo_sentences()), section.world)


def _exercises(section: TextSection) -> Iterator[tuple[str, str]]:
    from compacter_cli.world.exercises import exercises

    return islice(exercises(section.seed, without=demo_sentences()), section.world_exercises)


@cache
def demo_sentences() -> frozenset[str]:
    """Every sentence in the rows of the demo tasks: pretraining must not have met them."""
    from compacter_cli.tasks import DEMO_TASKS

    return frozenset(
        row[field]
        for task in DEMO_TASKS
        for rows in task.generate().values()
        for row in rows
        for field in task.fields
    )


def _lines(files: Iterable[str]) -> Iterator[str]:
    for path in map(user_path, files):
        for _, line in read_lines(path):
            if passage := line.strip():
                yield passage


def _cut(passages: list[str], section: TextSection) -> tuple[list[str], list[str]]:
    """The passages trained on, and those held out."""
    import numpy as np

    size = min(section.validation, max(1, len(passages) // 10))
    generator = np.random.default_rng(section.seed)
    held_out = set(generator.choice(len(passages), size, replace=False).tolist())
    train = [text for index, text in enumerate(passages) if index not in held_out]
    return train, [passages[index] for index in sorted(held_out)]


def _hash_of(passages: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for passage in passages:
        digest.update(passage.encode() + b"\n")
    return digest.hexdigest()

"""Anyone's own data: files of rows, a template for the source and one for the target.

source = "review: {text}"   target = "{label}"   labels = ["negative", "positive"]
"""

import json
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from compacter_cli.errors import excerpt
from compacter_cli.tasks.base import Row, Task
from compacter_cli.tasks.splits import HALVED_VALIDATION, SplitRule, divided

FORMATS = ("jsonl", "csv", "tsv")
LABEL_METRICS = ("accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman")
TEXT_METRICS = ("exact_match", "token_f1", "rouge_l")
_Item = TypeVar("_Item")


@runtime_checkable
class OwnSection(Protocol):
    """What a recipe says of one's own data: see `OwnDataSection`, which a task does not know."""

    @property
    def source(self) -> str: ...

    @property
    def target(self) -> str: ...

    @property
    def labels(self) -> Sequence[str] | None: ...

    @property
    def metrics(self) -> Sequence[str] | None: ...

    @property
    def validation(self) -> str | None: ...

    @property
    def test(self) -> str | None: ...

    @property
    def group(self) -> str | None: ...


@dataclass(frozen=True)
class GivenSplits(SplitRule):
    """The files as they are; what is missing is split off, by the paper's permutation.

    Without a validation file a tenth of the training rows, 1,000 at most, validates; without a
    test file half of the validation rows is the test, as in the paper's small tasks.

    Attributes:
        group: template of what rows have in common that are not to be parted, if anything.
    """

    group: str | None = None

    words = "files as given, what is missing split off"
    reads = ("train", "validation", "test")

    def apply(self, splits: Mapping[str, Sequence[_Item]], seed: int) -> dict[str, Sequence[_Item]]:
        train, validation, test = splits["train"], splits.get("validation"), splits.get("test")
        key = None if self.group is None else self._key
        if validation is None:
            validation, train = divided(train, _tenth(len(train)), seed, key)
        if test is None:
            validation, test = divided(validation, len(validation) // 2, seed, key)
        return {"train": train, "validation": validation, "test": test}

    def _key(self, row: Any) -> bytes:
        """A row's group, in few bytes."""
        text = filled(self.group or "", row)
        return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()

    def sizes(self, counts: Mapping[str, int]) -> dict[str, int]:
        train, validation = counts["train"], counts.get("validation")
        if validation is None:
            validation = _tenth(train)
            train -= validation
        if "test" in counts:
            return {"train": train, "validation": validation, "test": counts["test"]}
        return HALVED_VALIDATION.sizes({"train": train, "validation": validation})

    def sizes_of(self, splits: Mapping[str, Sequence[_Item]], seed: int) -> dict[str, int]:
        if self.group is None:
            return super().sizes_of(splits, seed)
        return {name: len(rows) for name, rows in self.apply(splits, seed).items()}


def told(validation: bool, test: bool) -> str:
    """What becomes of the files, by whether there is one for `validation` and for `test`."""
    if validation and test:
        return "files as given"
    held = "validation file" if validation else "a tenth of train (1,000 rows at most)"
    if test:
        return f"{held} validates, test file as given"
    return f"{held} halved: first half validation, second half test"


def _tenth(count: int) -> int:
    return max(1, min(1_000, count // 10))


GIVEN_SPLITS = GivenSplits()


@dataclass(frozen=True)
class OwnTask(Task):
    """Rows are a file's own columns; a label's target text is the label itself."""

    templates: tuple[str, str] = ("", "")
    """Templates of the source and of the target."""
    split: GivenSplits = GIVEN_SPLITS
    files: tuple[bool, bool] = (False, False)
    """Whether there are files of their own for validation and for test."""

    @classmethod
    def of(cls, name: str, section: OwnSection) -> Self:
        """The task of a recipe whose `task` is a file format."""
        return cls(
            name=name,
            fields=columns_of(section.source),
            metrics=tuple(section.metrics or default_metrics(section.labels)),
            labels=tuple(section.labels or ()),
            templates=(section.source, section.target),
            split=GivenSplits(section.group),
            files=(section.validation is not None, section.test is not None),
        )

    @property
    def prefix(self) -> str:
        """None: the template says what stands before the text."""
        return ""

    @property
    def splits_words(self) -> str:
        group = self.split.group
        kept = "" if group is None or all(self.files) else f"; rows of one {group} on one side"
        return told(*self.files) + kept

    @property
    def targets(self) -> tuple[str, ...]:
        return self.labels

    @property
    def target_fields(self) -> tuple[str, ...]:
        """Columns that the target's template names."""
        return columns_of(self.templates[1])

    def group_fields(self, split: str) -> tuple[str, ...]:
        """Columns that the group's template names, of a file that is to be divided; else none."""
        validation, test = self.files
        whole = {"train": validation, "validation": test}.get(split, True)
        return () if whole else columns_of(self.split.group or "")

    def source(self, row: Row) -> str:
        return filled(self.templates[0], row)

    @property
    def shape(self) -> tuple[str, str]:
        template = self.templates[0]
        return template.partition("{")[0], template

    def target(self, row: Row) -> str:
        return filled(self.templates[1], row)

    def problem(self, row: Row) -> str | None:
        target = self.target(row)
        if not target.strip():
            return "has an empty target"
        if self.labels and target not in self.labels:
            known = excerpt(", ".join(self.labels), 300)
            return f'has the target "{excerpt(target)}", expected one of {known}'
        return None

    def meant(self, row: Row) -> str | None:
        """The label that a row's target is but for capitals and spaces around it, if one is."""
        target = self.target(row).strip().casefold()
        return next((label for label in self.labels if label.strip().casefold() == target), None)

    def allows(self, row: Row, text: str) -> bool:
        return not self.labels or text in self.labels

    def label_of(self, target: str) -> str | None:
        return target if self.allows({}, target) else None


def default_metrics(labels: Sequence[str] | None) -> tuple[str, ...]:
    """Metrics where a recipe names none."""
    return ("accuracy",) if labels else ("exact_match", "token_f1")


def columns_of(template: str) -> tuple[str, ...]:
    """The columns that a template names in braces, in order.

    Raises:
        ValueError: a brace is not closed, or there is more between two than a column's name.
    """
    names = []
    for _, name, form, conversion in string.Formatter().parse(template):
        if name is None:
            continue
        if not name or form or conversion:
            raise ValueError("write a column's name between braces, {text}, and nothing else")
        names.append(name)
    return tuple(dict.fromkeys(names))


def filled(template: str, row: Row) -> str:
    """A template with a row's values; what is no text is written as JSON."""
    return "".join(
        literal + ("" if name is None else _as_text(row[name]))
        for literal, name, _, _ in string.Formatter().parse(template)
    )


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

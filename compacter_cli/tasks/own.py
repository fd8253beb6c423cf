"""Anyone's own data: files of rows, a template for the source and one for the target.

source = "review: {text}"   target = "{label}"   labels = ["negative", "positive"]
"""

import json
import string
from dataclasses import dataclass

from compacter_cli.tasks.base import Task
from compacter_cli.tasks.splits import HALVED_VALIDATION, SplitRule, permutation

FORMATS = ("jsonl", "csv", "tsv")
LABEL_METRICS = ("accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman")
TEXT_METRICS = ("exact_match", "token_f1", "rouge_l")


class GivenSplits(SplitRule):
    """The files as they are; what is missing is split off, by the paper's permutation.

    Without a validation file a tenth of the training rows, 1,000 at most, validates; without a
    test file half of the validation rows is the test, as in the paper's small tasks.
    """

    words = (
        "files as given; without validation a tenth of train (1,000 at most) is held out, "
        "without test the validation rows are halved"
    )
    reads = ("train", "validation", "test")

    def apply(self, splits, seed):
        train, validation = splits["train"], splits.get("validation")
        if validation is None:
            drawn = [train[index] for index in permutation(len(train), seed)]
            held = _tenth(len(train))
            train, validation = drawn[held:], drawn[:held]
        if "test" in splits:
            return {"train": train, "validation": validation, "test": splits["test"]}
        return HALVED_VALIDATION.apply({"train": train, "validation": validation}, seed)

    def sizes(self, counts):
        train, validation = counts["train"], counts.get("validation")
        if validation is None:
            validation = _tenth(train)
            train -= validation
        if "test" in counts:
            return {"train": train, "validation": validation, "test": counts["test"]}
        return HALVED_VALIDATION.sizes({"train": train, "validation": validation})


def _tenth(count):
    return max(1, min(1_000, count // 10))


GIVEN_SPLITS = GivenSplits()


@dataclass(frozen=True)
class OwnTask(Task):
    """Rows are a file's own columns; a label's target text is the label itself."""

    templates: tuple[str, str] = ("", "")
    """Templates of the source and of the target."""
    split: SplitRule = GIVEN_SPLITS

    @classmethod
    def of(cls, name, section):
        """The task of a recipe whose `task` is a file format."""
        return cls(
            name=name,
            fields=columns_of(section.source),
            metrics=tuple(section.metrics or default_metrics(section.labels)),
            labels=tuple(section.labels or ()),
            templates=(section.source, section.target),
        )

    @property
    def prefix(self):
        """None: the template says what stands before the text."""
        return ""

    @property
    def targets(self):
        return self.labels

    @property
    def target_fields(self):
        """Columns that the target's template names."""
        return columns_of(self.templates[1])

    def source(self, row):
        return filled(self.templates[0], row)

    @property
    def shape(self):
        template = self.templates[0]
        return template.partition("{")[0], template

    def target(self, row):
        return filled(self.templates[1], row)

    def problem(self, row):
        target = self.target(row)
        if not target.strip():
            return "has an empty target"
        if self.labels and target not in self.labels:
            return f'has the target "{target}", expected one of {", ".join(self.labels)}'
        return None

    def allows(self, row, text):
        return not self.labels or text in self.labels

    def label_of(self, target):
        return target if self.allows({}, target) else None


def default_metrics(labels):
    """Metrics where a recipe names none."""
    return ("accuracy",) if labels else ("exact_match", "token_f1")


def columns_of(template):
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


def filled(template, row):
    """A template with a row's values; what is no text is written as JSON."""
    return "".join(
        literal + ("" if name is None else _as_text(row[name]))
        for literal, name, _, _ in string.Formatter().parse(template)
    )


def _as_text(value):
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

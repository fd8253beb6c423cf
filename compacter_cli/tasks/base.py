"""What a task declares, whatever it is."""

import random
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from compacter_cli.tasks.splits import HALVED_VALIDATION, SplitRule

if TYPE_CHECKING:
    from compacter_cli.world.lexicon import Words

# Open: every task has fields of its own, and a file of one's own may hold any columns.
Row: TypeAlias = dict[str, Any]

WORLD_SEED = 5  # of the demo tasks' rows


@dataclass(frozen=True)
class Task:
    """A data set as text to text: its rows, its text, its labels and its metrics.

    Rows are dicts with the fields named in `fields`, the original `label` (but where the answer
    is a text of its own), and `idx`, the row's number in the original file.
    """

    name: str
    """Name in recipes, `<benchmark>/<task>`."""
    fields: tuple[str, ...]
    """Text fields of a row, in the order of the source text."""
    metrics: tuple[str, ...]
    """Metrics by the names of `metrics.METRICS`; the best epoch is the best by their mean."""
    labels: tuple[str, ...] = ()
    """Names of the labels; a label's target text is its index. Empty for free text."""
    rows: dict[str, int] = field(default_factory=dict)
    """Official number of rows of each split that is read."""
    split: SplitRule = HALVED_VALIDATION
    """Which rows train, validate and test."""
    beside: tuple[str, ...] = ()
    """Metrics that are shown beside the task's own and choose nothing."""
    paper: str | None = None
    """Key of the task's column in the paper's tables."""
    lists: tuple[str, ...] = ()
    """Those of `fields` that are lists of texts."""

    @property
    def prefix(self) -> str:
        """The name that is put before the source where a method prefixes it: the paper's code's."""
        benchmark, _, name = self.name.rpartition("/")
        return f"superglue-{name}" if benchmark == "super_glue" else name

    @property
    def splits_words(self) -> str:
        """Which rows train, validate and test, for people."""
        return self.split.words

    @property
    def targets(self) -> tuple[str, ...]:
        """All target texts; empty where the target is free text."""
        return tuple(str(index) for index in range(len(self.labels)))

    def source(self, row: Row) -> str:
        """The source text of a row: `field: text` for every field."""
        return " ".join(f"{field}: {row[field]}" for field in self.fields)

    @property
    def shape(self) -> tuple[str, str]:
        """(how every source text begins, how it goes on), for people who write their own."""
        return f"{self.fields[0]}: ", " ".join(f"{field}: ..." for field in self.fields)

    def target(self, row: Row) -> str:
        """The target text of a row: its label's index."""
        return str(row["label"])

    def references(self, row: Row) -> tuple[str, ...]:
        """All texts that answer a row rightly."""
        return (self.target(row),)

    def training_rows(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows to train on: more than those given where a row has several answers."""
        return rows

    def group(self, row: Row) -> Hashable:
        """What a row belongs to, for metrics over groups of rows."""
        return row["idx"]

    def number(self, row: Row) -> Any:
        """The row's place in the original order, sortable."""
        return row["idx"]

    def problem(self, row: Row) -> str | None:
        """What is wrong with a row's label, in words, or `None`."""
        if row["label"] in range(len(self.labels)):
            return None
        missing = "; is the label column missing?" if row["label"] == -1 else ""
        return f"has the label {row['label']!r}, expected 0 to {len(self.labels) - 1}{missing}"

    def allows(self, row: Row, text: str) -> bool:
        """Whether `text` is an answer that the task knows, right or wrong."""
        return text in self.targets

    def label_of(self, target: str) -> str | None:
        """The label's name for a predicted target text, `None` for a text that is no label."""
        return self.labels[self.targets.index(target)] if target in self.targets else None


# Classes without fields of their own need no decorator, which would take its time at each start.
class GeneratedTask(Task):
    """A task that makes its rows itself, seeded: nothing to download."""

    def generate(self) -> dict[str, list[Row]]:
        """Rows by split: `{"train": [...], "validation": [...]}`."""
        raise NotImplementedError


class DemoTask(GeneratedTask):
    """A task of the demo world. Training rows lack its held-out words, the others prefer them."""

    def row(self, draw: random.Random, words: "Words", label: int) -> Row | None:
        """A row without its number, or `None` where this draw makes none.

        `words` is as a `Speaker` takes it; `label` is the one that is wanted, where the task has
        labels.
        """
        raise NotImplementedError

    def generate(self) -> dict[str, list[Row]]:
        """The rows, always the same; no sentence occurs in two rows."""
        draw = random.Random(f"{WORLD_SEED} {self.name}")
        used: set[str] = set()
        return {
            split: [self._new_row(draw, split, idx, used) for idx in range(size)]
            for split, size in self.rows.items()
        }

    def _new_row(self, draw: random.Random, split: str, idx: int, used: set[str]) -> Row:
        label = draw.randrange(2)
        while True:
            row = self.row(draw, "train" if split == "train" else "test", label)
            texts: Sequence[str] = [row[field] for field in self.fields] if row else []
            if row and used.isdisjoint(texts):
                used.update(texts)
                return {"label": label, **row, "idx": idx}

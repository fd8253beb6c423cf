"""What a task declares, whatever it is."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from compacter_cli.tasks.splits import HALVED_VALIDATION, SplitRule

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

    @property
    def prefix(self):
        """The name that is put before the source where a method prefixes it."""
        return self.name.rpartition("/")[2]

    @property
    def targets(self):
        """All target texts; empty where the target is free text."""
        return tuple(str(index) for index in range(len(self.labels)))

    def source(self, row):
        """The source text of a row: `field: text` for every field."""
        return " ".join(f"{field}: {row[field]}" for field in self.fields)

    @property
    def shape(self):
        """(how every source text begins, how it goes on), for people who write their own."""
        return f"{self.fields[0]}: ", " ".join(f"{field}: ..." for field in self.fields)

    def target(self, row):
        """The target text of a row: its label's index."""
        return str(row["label"])

    def references(self, row):
        """All texts that answer a row rightly."""
        return (self.target(row),)

    def training_rows(self, rows):
        """The rows to train on: more than those given where a row has several answers."""
        return rows

    def group(self, row):
        """What a row belongs to, for metrics over groups of rows."""
        return row["idx"]

    def number(self, row):
        """The row's place in the original order, sortable."""
        return row["idx"]

    def problem(self, row):
        """What is wrong with a row's label, in words, or `None`."""
        if row["label"] in range(len(self.labels)):
            return None
        missing = "; is the label column missing?" if row["label"] == -1 else ""
        return f"has the label {row['label']!r}, expected 0 to {len(self.labels) - 1}{missing}"

    def allows(self, row, text):
        """Whether `text` is an answer that the task knows, right or wrong."""
        return text in self.targets

    def label_of(self, target):
        """The label's name for a predicted target text, `None` for a text that is no label."""
        return self.labels[self.targets.index(target)] if target in self.targets else None


@dataclass(frozen=True)
class OriginalFiles:
    """Where a published task's rows come from.

    Attributes:
        tfds: TFDS name, config and version.
        folder: folder of the original files, below the benchmark's.
        archive: file name of the original zip; `None` where the files were never zipped.
        files: file of each split that is read, in `folder`.
        columns: columns that a line must have, a JSONL's keys; all of them where `header` is not.
        label: which of them is the label.
        deep: what is wrong with a row of nested JSON, a function of the row to words or `None`;
            in place of a look at the label.
        values: what the label may be, as text or JSON value; empty where it may be any number.
        header: whether a TSV's first line names its columns.
        helpers: further files that the parser reads.
        marked: those that begin with a byte-order mark.
        unlabelled: files of the test splits without labels, kept where they are at hand.
        host: server of TFDS's download.
    """

    tfds: str
    folder: str
    archive: str | None
    files: dict[str, str]
    columns: tuple[str, ...]
    label: str = "label"
    deep: Callable | None = None
    values: tuple = ()
    header: bool = True
    helpers: tuple[str, ...] = ()
    marked: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    host: str = "dl.fbaipublicfiles.com"

    @property
    def benchmark(self):
        return self.tfds.partition("/")[0]

    @property
    def needed(self):
        """Names of the files without which there are no rows."""
        return (*dict.fromkeys(self.files.values()), *self.helpers)


@dataclass(frozen=True)
class PublishedTask(Task):
    """A task read from original files or from TFDS."""

    original: OriginalFiles | None = None


@dataclass(frozen=True)
class GeneratedTask(Task):
    """A task that makes its rows itself, seeded: nothing to download."""

    def generate(self):
        """Rows by split: `{"train": [...], "validation": [...]}`."""
        raise NotImplementedError


@dataclass(frozen=True)
class DemoTask(GeneratedTask):
    """A task of the demo world. Training rows lack its held-out words, the others prefer them."""

    def row(self, draw, words, label):
        """A row without its number, or `None` where this draw makes none.

        `draw` is a `random.Random`; `words` is "train" or "test", as a `Speaker` takes it; `label`
        is the one that is wanted, where the task has labels.
        """
        raise NotImplementedError

    def generate(self):
        """The rows, always the same; no sentence occurs in two rows."""
        draw = random.Random(f"{WORLD_SEED} {self.name}")
        used = set()
        return {
            split: [self._new_row(draw, split, idx, used) for idx in range(size)]
            for split, size in self.rows.items()
        }

    def _new_row(self, draw, split, idx, used):
        label = draw.randrange(2)
        while True:
            row = self.row(draw, "train" if split == "train" else "test", label)
            texts = [row[field] for field in self.fields] if row else []
            if row and used.isdisjoint(texts):
                used.update(texts)
                return {"label": label, **row, "idx": idx}


def glue_files(tfds, folder, **more):
    """The `OriginalFiles` of a GLUE task in the benchmark's own form."""
    given = {
        "archive": f"{folder}.zip",
        "files": {"train": "train.tsv", "validation": "dev.tsv"},
        "unlabelled": ("test.tsv",),
        **more,
    }
    return OriginalFiles(f"glue/{tfds}:2.0.0", folder, **given)


def super_glue_files(tfds, folder, **more):
    """The `OriginalFiles` of a SuperGLUE task in the benchmark's own form."""
    return OriginalFiles(
        f"super_glue/{tfds}:1.0.2",
        folder,
        archive=f"{folder}.zip",
        files={"train": "train.jsonl", "validation": "val.jsonl"},
        unlabelled=("test.jsonl",),
        **more,
    )

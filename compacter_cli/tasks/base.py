"""What a task declares, whatever it is."""

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Task:
    """A data set as text to text: its rows, its text, its labels and its metrics.

    Rows are dicts with the fields named in `fields`, an int `label` and an int `idx`, the row's
    number in the original file.
    """

    name: str
    """Name in recipes, `<benchmark>/<task>`."""
    labels: tuple[str, ...]
    """Names of the labels; a label's target text is its index."""
    fields: tuple[str, ...]
    """Text fields of a row, in the order of the source text."""
    metrics: tuple[str, ...]
    """Metrics by the names of `scoring.METRICS`; the best epoch is the best by their mean."""
    rows: dict[str, int]
    """Official number of rows of each split that is read."""
    paper: str | None = None
    """Key of the task's column in the paper's tables."""

    benchmark: ClassVar[str] = ""

    @property
    def prefix(self):
        """The name that is put before the source where a method prefixes it."""
        return self.name.rpartition("/")[2]

    @property
    def targets(self):
        """All target texts."""
        return tuple(str(index) for index in range(len(self.labels)))

    def source(self, row):
        """The source text of a row: `field: text` for every field."""
        return " ".join(f"{field}: {row[field]}" for field in self.fields)

    def target(self, row):
        """The target text of a row: its label's index."""
        return str(row["label"])

    def label_of(self, target):
        """The label's name for a predicted target text, `None` for a text that is no label."""
        return self.labels[int(target)] if target in self.targets else None


@dataclass(frozen=True)
class OriginalFiles:
    """Where a published task's rows come from.

    Attributes:
        tfds: TFDS name, config and version.
        folder: folder of the original files, below the benchmark's.
        archive: file name of the original zip.
        files: file of each split in `folder`.
        host: server of TFDS's download.
    """

    tfds: str
    folder: str
    archive: str
    files: dict[str, str] = field(default_factory=dict)
    host: str = "dl.fbaipublicfiles.com"

    @property
    def benchmark(self):
        return self.tfds.partition("/")[0]


@dataclass(frozen=True)
class PublishedTask(Task):
    """A task read from original files or from TFDS; half of its validation set becomes the test."""

    original: OriginalFiles | None = None


@dataclass(frozen=True)
class GeneratedTask(Task):
    """A task that makes its rows itself, seeded: nothing to download."""

    def generate(self):
        """Rows by split: `{"train": [...], "validation": [...]}`."""
        raise NotImplementedError

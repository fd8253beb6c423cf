"""What the sections of a recipe hold, and the checks within one of them."""

import math
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, PositiveFloat, ValidationInfo, field_validator, model_validator

from compacter_cli.errors import counted
from compacter_cli.section import AnyText, Count, CountFromZero, Dimension, Section, Text
from compacter_cli.tasks.own import FORMATS, LABEL_METRICS, TEXT_METRICS, columns_of

NO_FLOAT16 = (
    "float16 is refused: T5's activations overflow it, its layer norm then returns zeros in silence"
)


class BackboneSection(Section):
    """The pretrained T5."""

    preset: Text
    """A KerasHub name (t5_base_multi), the directory of a T5 in KerasHub's or Hugging Face's files,
    or demo/t5, which is shipped."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the computation and of frozen weights; what trains is always float32."""

    @field_validator("precision", mode="before")
    @classmethod
    def _no_float16(cls, value: object) -> object:
        if value in ("float16", "fp16", "half", "mixed_float16"):
            raise ValueError(f"{NO_FLOAT16}; use bfloat16 or float32")
        return value


class ExamplesSection(Section):
    """How rows become examples, wherever they come from."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Decides the splits; with the run's `seed`, the composition of the batches."""
    source_length: Dimension = 128
    """Longest source in tokens, its end token included; longer texts are cut and counted."""
    target_length: Dimension = 16
    """Longest target in tokens, its end token included; a longer label is an error."""
    max_train_samples: Count | None = None
    """Train on a subset of this size, drawn with the run's `seed`."""
    prefix: AnyText | None = None
    """What stands before every source text; left out, the task's name where the method puts it
    there (all but the adapters do), and "" is nothing."""

    paths: ClassVar[tuple[str, ...]] = ()
    """Which keys are paths."""
    whose: ClassVar[str] = ""
    """The tasks whose section it is, for people."""


class DataSection(ExamplesSection):
    """Where a published task's rows come from. Without `folder` or `archive` the prepared TFDS
    directory is read, and TFDS downloads what is not there."""

    data_dir: Text | None = None
    """TFDS data directory; its own default is TFDS_DATA_DIR or ~/tensorflow_datasets."""
    folder: Text | None = None
    """A folder of original files, holding glue/RTE/train.tsv and so on."""
    archive: Text | None = None
    """The benchmark's original zip of this task."""

    paths = ("data_dir", "folder", "archive")
    whose = "published tasks (glue/rte)"

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        given = [name for name in self.paths if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"rows come from one place: give one of {', '.join(given)}")
        return self


class OwnDataSection(ExamplesSection):
    """Rows of one's own, for `task = "jsonl"`, `"csv"` or `"tsv"`."""

    train: Text
    """File of the training rows."""
    validation: Text | None = None
    """File of the validation rows; left out, a tenth of train (1,000 at most) is held out."""
    test: Text | None = None
    """File of the test rows; left out, the validation rows are halved."""
    source: Text
    """Template of the source text: "review: {text}" reads the column `text`."""
    target: Text
    """Template of the target text, such as "{label}"."""
    labels: Annotated[list[Text], Field(min_length=2)] | None = None
    """All target texts; left out, the target is free text of up to `target_length` tokens."""
    metrics: Annotated[list[Text], Field(min_length=1)] | None = None
    """Metrics; accuracy for labels and exact_match and token_f1 for free text where left out."""
    group: Text | None = None
    """Template of what rows have in common that must lie on one side where rows are held out or
    halved: "{patient}", or "{text}" for rows that stand twice."""

    paths = ("train", "validation", "test")
    whose = "data of one's own: task = " + ", ".join(FORMATS)

    @field_validator("source", "target", "group")
    @classmethod
    def _a_template(cls, value: str | None) -> str | None:
        if value is not None and not columns_of(value):
            raise ValueError(f'names no column. Received: "{value}"; such as "review: {{text}}"')
        return value

    @model_validator(mode="after")
    def _labels_and_metrics_fit(self) -> Self:
        labels, metrics = self.labels or (), self.metrics or ()
        if len(set(labels)) < len(labels):
            raise ValueError("a label is there twice")
        known = LABEL_METRICS if labels else TEXT_METRICS
        for metric in metrics:
            if metric not in known:
                kind = "labels" if labels else "free text, that is without data.labels,"
                raise ValueError(f'unknown metric "{metric}"; for {kind} {", ".join(known)}')
            if metric in ("f1", "matthews") and len(labels) != 2:
                raise ValueError(f"{metric} needs two labels, here are {len(labels)}; use macro_f1")
            if metric in ("pearson", "spearman") and not all(map(_is_number, labels)):
                raise ValueError(f"{metric} needs labels that are numbers")
        return self


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


DATA_SECTIONS = (DataSection, OwnDataSection)


class TrainSection(Section):
    """How the trained weights are found. The defaults are the paper's low-resource setting."""

    epochs: Count = 20
    batch_size: Count = 100
    """Examples of one forward pass."""
    accumulate: Count = 1
    """Forward passes of one update; the update's batch is batch_size times this."""
    eval_batch_size: Count = 100
    """Examples decoded at once in evaluation."""
    learning_rate: PositiveFloat | None = None
    """Peak rate. Left out, it is the paper's for a published task on a backbone as large as
    T5-base or larger; for any other, the best of a search on the demo tasks."""
    warmup_steps: CountFromZero = 500
    """Updates of linear warm-up, from rate 0; linear decay to 0 follows."""
    clip_norm: PositiveFloat = 1.0
    """Largest norm of an update's gradient."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Dropout of the whole T5 in training."""
    score_before: bool = False
    """Score the test split before training too, to show what training is worth."""
    execution: Literal["auto", "lean", "fused", "reference"] = "auto"
    """How a step is computed: auto is lean on a CPU and fused on a GPU; reference is the plain way,
    slower. The results are the same, but that on a GPU dropout draws other elements."""
    remat: bool = False
    """Keep only the blocks' inputs for the backward pass and run every block again in it: less
    memory, more time, the same results."""
    not_finite: Literal["stop", "skip"] = "stop"
    """An update whose loss or gradient is not finite ends the run, or is left out."""
    patience: Count | None = None
    """Epochs without a better validation score after which training ends; left out, none does. The
    rate falls as for all epochs."""
    init_from: Text | None = None
    """A run or adapter directory whose trained weights this one starts from: of the same method and
    settings, on the same backbone, of any task."""
    save_every: Count | None = None
    """Updates after which the run's state is saved, beside every epoch's end."""
    save_minutes: PositiveFloat = 15.0
    """Minutes after which it is saved, too."""

    @field_validator("patience")
    @classmethod
    def _can_end(cls, value: int | None, info: ValidationInfo) -> int | None:
        epochs = info.data.get("epochs")  # not there where it is wrong itself
        if value is not None and epochs is not None and value >= epochs:
            raise ValueError(
                f"{value} never ends a training of {counted(epochs, 'epoch')}; leave it out, or "
                "set fewer"
            )
        return value

    def updates_per_epoch(self, examples: int) -> int:
        """Optimizer steps of an epoch over `examples`; the last may hold fewer."""
        return math.ceil(examples / (self.batch_size * self.accumulate))

    @property
    def peak_rate(self) -> float:
        """The peak rate of a resolved recipe, which has one."""
        if self.learning_rate is None:
            raise ValueError("the recipe is not resolved: it has no learning rate")
        return self.learning_rate


class OutputSection(Section):
    """Where the run is written."""

    root: Text = "runs"
    """Runs go to <root>/<task>/<method>/<preset>-s<seed>-<hash of the recipe>."""
    without_metrics: Literal["continue", "stop"] = "continue"
    """What a run does that cannot write metrics.jsonl: it says so and goes on, or ends."""
    watch: list[Literal["tensorboard", "wandb"]] = Field(default_factory=list)
    """Where its curves can be watched, too; each is an extra to be installed."""

"""TOML and `--set` to a frozen `Recipe`: precedence is --set, then the recipe, then defaults."""

import copy
import math
import tomllib
from typing import Annotated, ClassVar, Literal, Union

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from compacter_cli.backbones import OWN_NAMES, shape_of
from compacter_cli.errors import (
    CompacterError,
    Problem,
    RecipeError,
    UsageError,
    did_you_mean,
    user_path,
)
from compacter_cli.library import find_recipe
from compacter_cli.methods import METHODS
from compacter_cli.recipe_problems import problems_of
from compacter_cli.section import Section
from compacter_cli.tasks import TASKS, task_of
from compacter_cli.tasks.own import FORMATS, LABEL_METRICS, TEXT_METRICS, columns_of

Text = Annotated[str, Field(min_length=1)]


class BackboneSection(Section):
    """The pretrained T5."""

    preset: Text
    """A KerasHub name (t5_base_multi), the directory of a preset, or demo/t5, which is shipped."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Precision of the computation and of frozen weights; what trains is always float32."""

    @field_validator("precision", mode="before")
    @classmethod
    def _no_float16(cls, value):
        if value in ("float16", "fp16", "half", "mixed_float16"):
            raise ValueError(
                "float16 is refused: T5's activations overflow it, its layer norm then returns "
                "zeros in silence; use bfloat16 or float32"
            )
        return value


class ExamplesSection(Section):
    """How rows become examples, wherever they come from."""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Decides the splits; with the run's `seed`, the composition of the batches."""
    source_length: PositiveInt = 128
    """Longest source in tokens, its end token included; longer texts are cut and counted."""
    target_length: PositiveInt = 16
    """Longest target in tokens, its end token included; a longer label is an error."""
    max_train_samples: PositiveInt | None = None
    """Train on a subset of this size, drawn with the run's `seed`."""

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
    def _one_way_in(self):
        if self.folder is not None and self.archive is not None:
            raise ValueError("give either folder or archive, not both")
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

    paths = ("train", "validation", "test")
    whose = "data of one's own: task = " + ", ".join(FORMATS)

    @field_validator("source", "target")
    @classmethod
    def _a_template(cls, value):
        if not columns_of(value):
            raise ValueError(f'names no column. Received: "{value}"; such as "review: {{text}}"')
        return value

    @model_validator(mode="after")
    def _labels_and_metrics_fit(self):
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


def _is_number(text):
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


class TrainSection(Section):
    """How the trained weights are found. The defaults are the paper's low-resource setting."""

    epochs: PositiveInt = 20
    batch_size: PositiveInt = 100
    """Examples of one forward pass."""
    accumulate: PositiveInt = 1
    """Forward passes of one update; the update's batch is batch_size times this."""
    eval_batch_size: PositiveInt = 100
    """Examples decoded at once in evaluation."""
    learning_rate: PositiveFloat | None = None
    """Peak rate; the method's own default where left out."""
    warmup_steps: NonNegativeInt = 500
    """Updates of linear warm-up, from rate 0; linear decay to 0 follows."""
    clip_norm: PositiveFloat = 1.0
    """Largest norm of an update's gradient."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    """Dropout of the whole T5 in training."""
    score_before: bool = False
    """Score the test split before training too, to show what training is worth."""
    execution: Literal["lean", "reference"] = "lean"
    """How a step is computed; reference is the plain way: slower, and the same results."""
    remat: bool = False
    """Keep only the blocks' inputs for the backward pass and run every block again in it: less
    memory, more time, the same results."""


class OutputSection(Section):
    """Where the run is written."""

    root: Text = "runs"
    """Runs go to <root>/<task>/<method>/<preset>-s<seed>-<hash of the recipe>."""


class Recipe(Section):
    """One run, completely: what `recipe.toml` in a run directory holds."""

    task: str
    """Task by name, such as glue/rte; or jsonl, csv, tsv for rows of one's own."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    """Decides everything random but the splits: initial values, dropout, batches, subsets."""
    backbone: BackboneSection
    method: Annotated[Union[tuple(METHODS.values())], Field(discriminator="name")]  # noqa: UP007
    data: DataSection = DataSection()
    train: TrainSection = TrainSection()
    output: OutputSection = OutputSection()

    @field_validator("task")
    @classmethod
    def _known_task(cls, value):
        known = (*TASKS, *FORMATS)
        if value not in known:
            hint = did_you_mean(value, known) or "known tasks: " + ", ".join(known)
            raise ValueError(f'unknown task "{value}"; {hint}')
        return value

    def resolved(self):
        """This recipe with nothing left to its surroundings: the method's learning rate where none
        is given, and local paths made absolute, so that it can be run again from anywhere."""
        preset, data, train = self.backbone.preset, self.data, self.train
        if preset not in OWN_NAMES and user_path(preset).is_dir():
            preset = absolute(preset)
        paths = {
            key: absolute(value) for key in data.paths if (value := getattr(data, key)) is not None
        }
        rate = train.learning_rate or self.method.learning_rate
        return self.model_copy(
            update={
                "backbone": self.backbone.model_copy(update={"preset": preset}),
                "data": data.model_copy(update=paths),
                "train": train.model_copy(update={"learning_rate": rate}),
            }
        )


class OwnRecipe(Recipe):
    """One run on rows of one's own."""

    data: OwnDataSection


def recipe_class(tables):
    """The kind of recipe that plain `tables` are: what [data] holds depends on the task."""
    return OwnRecipe if tables.get("task") in FORMATS else Recipe


def absolute(path):
    """The absolute path of what a user wrote."""
    return str(user_path(path).absolute())


def load_recipe(name, overrides=()):
    """The checked, resolved `Recipe` of a path or shipped name.

    Args:
        name: path of a TOML file, or the name of a shipped recipe with or without `.toml`.
        overrides: `section.key=value` strings, applied in order.

    Raises:
        UsageError: no such recipe, not TOML, or an override without `=`.
        RecipeError: the recipe has problems; it lists all of them.
    """
    source, tables = read_tables(name)
    if is_pretraining(tables):
        raise UsageError(
            f"{source} is a recipe of pretraining, it has no task",
            f"compacter pretrain --recipe {name} --output DIR",
        )
    return recipe_of(override(tables, overrides), source)


def read_tables(name):
    """`(where it was found, its tables as plain data)` of a recipe of any kind, unchecked.

    Raises:
        UsageError: there is no such recipe, or it is not TOML.
    """
    source, text = find_recipe(name)
    try:
        return source, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: not TOML: {error}", "mend the line it names") from error


def is_pretraining(tables):
    """Whether plain `tables` are a recipe of `compacter pretrain`."""
    return "text" in tables and "task" not in tables


def recipe_of(tables, source):
    """The checked, resolved `Recipe` of plain `tables`; `source` names them in errors."""
    try:
        recipe = recipe_class(tables).model_validate(tables).resolved()
    except ValidationError as error:
        problems = problems_of(error, recipe_class(tables), (Recipe, OwnRecipe))
        raise RecipeError(source, [*problems, *_checks_of_the_rest(tables, error)]) from None
    problems = cross_checks(recipe)
    if problems:
        raise RecipeError(source, problems)
    return recipe


def override(tables, overrides):
    """`tables` after `section.key=value` overrides; a value that is no TOML is a plain string."""
    for text in overrides:
        dotted, equals, value = text.partition("=")
        if not equals or not dotted.strip():
            raise UsageError(
                f"--set {text}: expected section.key=value", "such as --set train.epochs=3"
            )
        *sections, key = dotted.strip().split(".")
        table = tables
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {text}: {section} is a value, not a section")
        table[key] = _toml_value(value.strip())
    return tables


def _toml_value(text):
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text


def cross_checks(recipe):
    """Problems between sections, found from the backbone's dimensions and vocabulary alone."""
    shape = shape_of(recipe.backbone.preset)
    return [*recipe.method.problems(shape), *_label_problems(recipe)]


def _checks_of_the_rest(tables, error):
    """Cross-check problems of a recipe without its wrong keys, where that leaves a whole one."""
    rest = copy.deepcopy(tables)
    for item in error.errors():
        location = list(item["loc"])
        if location[:1] == ["method"] and len(location) > 1:
            del location[1]
        table = rest
        for key in location[:-1]:
            table = table.get(key, {}) if isinstance(table, dict) else {}
        if location and isinstance(table, dict):
            table.pop(location[-1], None)
    try:
        return cross_checks(recipe_class(rest).model_validate(rest))
    except ValidationError:
        return []
    except CompacterError as other:
        message = str(other).removeprefix("backbone.preset: ")
        return [Problem("backbone.preset", message, other.hint or "")]


def _label_problems(recipe):
    from compacter_cli.vocabulary import find_vocabulary

    targets = task_of(recipe).targets
    vocabulary = find_vocabulary(recipe.backbone.preset) if targets else None
    if vocabulary is None:  # free text, or a KerasHub preset not on this disk: checked when it is
        return []
    longest, length = vocabulary.longest(targets)
    if length <= recipe.data.target_length:
        return []
    return [
        Problem(
            "data.target_length",
            f'the label "{longest}" is {length} tokens long, more than {recipe.data.target_length}',
            f"set it to {length} or more",
        )
    ]

"""TOML and `--set` to a frozen `Recipe`: precedence is --set, then the recipe, then defaults."""

import copy
import tomllib
from typing import Annotated, Literal, Union

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
    model_validator,
)

from compacter_cli.backbones import RANDOM_TINY, shape_of
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
from compacter_cli.section import Section
from compacter_cli.tasks import TASKS

Text = Annotated[str, Field(min_length=1)]


class BackboneSection(Section):
    """The pretrained T5."""

    preset: Text
    """A KerasHub name (t5_base_multi) or the directory of a local preset."""
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


class DataSection(Section):
    """Where the examples come from and how they are cut. Without `folder` or `archive` the
    prepared TFDS directory is read, and TFDS downloads what is not there."""

    data_dir: Text | None = None
    """TFDS data directory; its own default is TFDS_DATA_DIR or ~/tensorflow_datasets."""
    folder: Text | None = None
    """A folder of original files, holding glue/RTE/train.tsv and so on."""
    archive: Text | None = None
    """The benchmark's original zip of this task."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Decides the splits; with the run's `seed`, the composition of the batches."""
    source_length: PositiveInt = 128
    """Longest source in tokens, its end token included; longer texts are cut and counted."""
    target_length: PositiveInt = 16
    """Longest target in tokens, its end token included; a longer label is an error."""
    max_train_samples: PositiveInt | None = None
    """Train on a subset of this size, drawn with the run's `seed`."""

    @model_validator(mode="after")
    def _one_way_in(self):
        if self.folder is not None and self.archive is not None:
            raise ValueError("give either folder or archive, not both")
        return self


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


class OutputSection(Section):
    """Where the run is written."""

    root: Text = "runs"
    """Runs go to <root>/<task>/<method>/<preset>-s<seed>-<hash of the recipe>."""


class Recipe(Section):
    """One run, completely: what `recipe.toml` in a run directory holds."""

    task: str
    """Task by name, such as glue/rte."""
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
        if value not in TASKS:
            hint = did_you_mean(value, TASKS) or "known tasks: " + ", ".join(TASKS)
            raise ValueError(f'unknown task "{value}"; {hint}')
        return value

    def resolved(self):
        """This recipe with nothing left to its surroundings: the method's learning rate where none
        is given, and local paths made absolute, so that it can be run again from anywhere."""
        preset, data, train = self.backbone.preset, self.data, self.train
        if preset != RANDOM_TINY and user_path(preset).is_dir():
            preset = _absolute(preset)
        paths = {
            key: _absolute(value)
            for key in ("data_dir", "folder", "archive")
            if (value := getattr(data, key)) is not None
        }
        rate = train.learning_rate or self.method.learning_rate
        return self.model_copy(
            update={
                "backbone": self.backbone.model_copy(update={"preset": preset}),
                "data": data.model_copy(update=paths),
                "train": train.model_copy(update={"learning_rate": rate}),
            }
        )


def _absolute(path):
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
    source, text = find_recipe(name)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: not TOML: {error}", "mend the line it names") from error
    return recipe_of(override(tables, overrides), source)


def recipe_of(tables, source):
    """The checked, resolved `Recipe` of plain `tables`; `source` names them in errors."""
    try:
        recipe = Recipe.model_validate(tables).resolved()
    except ValidationError as error:
        problems = [_problem(item) for item in error.errors()]
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
        return cross_checks(Recipe.model_validate(rest))
    except ValidationError:
        return []
    except CompacterError as other:
        message = str(other).removeprefix("backbone.preset: ")
        return [Problem("backbone.preset", message, other.hint or "")]


def _label_problems(recipe):
    from compacter_cli.vocabulary import find_vocabulary

    vocabulary = find_vocabulary(recipe.backbone.preset)
    if vocabulary is None:  # a KerasHub preset that is not on this disk: checked when it is
        return []
    longest, length = vocabulary.longest(TASKS[recipe.task].targets)
    if length <= recipe.data.target_length:
        return []
    return [
        Problem(
            "data.target_length",
            f'the label "{longest}" is {length} tokens long, more than {recipe.data.target_length}',
            f"set it to {length} or more",
        )
    ]


def _problem(item):
    """A pydantic error as a `Problem`, under the name that stands in the recipe."""
    location = [str(part) for part in item["loc"]]
    if location[:1] == ["method"] and len(location) > 1:
        del location[1]  # pydantic's tag of the union, not a key
    key = ".".join(location) or "recipe"
    section, known = _section_of(item["loc"])
    kind = item["type"]
    if kind == "extra_forbidden":
        return Problem(
            key, f"unknown key{section}", did_you_mean(location[-1], known) or _list(known)
        )
    if kind == "missing":
        return Problem(key, "missing", "add it to the recipe or give it with --set")
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        name = item["input"].get("name", "") if isinstance(item["input"], dict) else ""
        hint = did_you_mean(name, METHODS) or _list(METHODS)
        return Problem("method.name", f'unknown method "{name}"' if name else "missing", hint)
    if kind in ("model_type", "model_attributes_type"):
        return Problem(key, f"must be a table, [{key}]. Received: {_shown(item['input'])}")
    if kind == "value_error":
        return Problem(key, str(item["ctx"]["error"]))
    message = item["msg"].replace("Input should be", "must be")
    return Problem(key, f"{message}. Received: {_shown(item['input'])}")


def _section_of(location):
    """(" of <section>", its known keys) for the table in which `location` lies."""
    if len(location) < 2:
        return "", tuple(Recipe.model_fields)
    section = location[0]
    if section == "method":
        return f' of method "{location[1]}"', tuple(METHODS[location[1]].model_fields)
    model = Recipe.model_fields[section].annotation
    return f" of [{section}]", tuple(model.model_fields)


def _list(names):
    return "known: " + ", ".join(names)


def _shown(value):
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

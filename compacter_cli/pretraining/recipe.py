"""TOML and `--set` to a frozen `PretrainingRecipe`, checked before a framework is imported."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)

from compacter_cli.errors import Problem, RecipeError, UsageError, absolute
from compacter_cli.pretraining.corruption import sentinels_needed
from compacter_cli.pretraining.pieces import fixed_pieces
from compacter_cli.recipe.problems import problems_of
from compacter_cli.recipe.tables import is_pretraining, override, read_tables
from compacter_cli.section import Section, Text
from compacter_cli.t5.shapes import T5Shape


class TextSection(Section):
    """The text: exactly one of `files` and `world`."""

    files: Annotated[list[Text], Field(min_length=1)] | None = None
    """Files in UTF-8, a passage a line; blank and repeated lines are skipped."""
    world: PositiveInt | None = None
    """Take that many paragraphs of the demo world instead."""
    world_exercises: NonNegativeInt = 0
    """With `world`: practise that many of its exercises too, text to text, beside the reading."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Decides which passages are held out, and the paragraphs of the demo world."""
    validation: PositiveInt = 1_000
    """Passages held out for the validation loss; a tenth of them where that is less."""

    @model_validator(mode="after")
    def _one_of_the_two(self):
        if (self.files is None) == (self.world is None):
            what = "neither" if self.files is None else "both"
            raise ValueError(f"give exactly one of files and world; here are {what}")
        if self.files is not None and self.world_exercises:
            raise ValueError("world_exercises are of the demo world; they do not go with files")
        return self


class VocabularySection(Section):
    """The SentencePiece vocabulary (byte-pair encoding), made from the text."""

    size: PositiveInt = 1_000
    """Pieces in all, sentinels and the three special ones included; a text that has words for
    fewer gets fewer."""
    sentinels: PositiveInt = 32
    """Pieces <extra_id_0>, <extra_id_1>, ... that stand for spans taken out."""


class BackboneSection(Section):
    """Dimensions of the T5."""

    hidden_dim: PositiveInt = 128
    intermediate_dim: PositiveInt = 512
    """Inner dimension of the feed-forward."""
    num_layers: PositiveInt = 3
    """Blocks of the encoder, and of the decoder."""
    num_heads: PositiveInt = 4
    key_value_dim: PositiveInt = 32
    """Dimension of one head."""
    gated: bool = False
    """Gated GELU in the feed-forward, as T5 1.1, instead of ReLU, as T5 1.0."""
    tied: bool = True
    """One table for the embedding and the output head."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Dropout of the whole T5; what repeats little needs none."""

    def shape(self, vocabulary_size):
        """The `T5Shape` of these dimensions."""
        return T5Shape(vocabulary_size, **self.model_dump(exclude={"dropout"}))


class CorruptionSection(Section):
    """T5's span corruption."""

    noise_density: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.15
    """Share of a piece's tokens that are taken out."""
    mean_span_length: Annotated[float, Field(ge=1.0)] = 3.0
    """Mean tokens of a span."""


class TrainSection(Section):
    """How the weights are found: Adafactor as T5's, linear warm-up, linear decay to 0."""

    steps: NonNegativeInt = 8_000
    """Updates; 0 writes the random start."""
    batch_size: PositiveInt = 64
    """Pieces and exercises of one update."""
    exercise_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Share of them that are exercises, where there are any."""
    length: Annotated[int, Field(ge=2, le=4096)] = 48
    """Longest piece in tokens; longer passages are cut into pieces of about equal length."""
    learning_rate: PositiveFloat = 2e-2
    """Peak rate, relative to a weight's own size; T5's was 1e-2. Adafactor uses no more than one
    over the root of the step."""
    warmup_steps: NonNegativeInt = 300
    clip_norm: PositiveFloat = 1.0
    """Largest norm of an update's gradient."""
    eval_every: PositiveInt = 500
    """Updates between two validation losses."""
    save_every: PositiveInt = 500
    """Updates between two saves of what an interrupted run continues from."""


class OutputSection(Section):
    """What is written."""

    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision in which weights are stored; loading them gives float32 values."""


class PretrainingRecipe(Section):
    """One pretraining, completely."""

    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    """Decides the random start, the order of the pieces, their corruption, and dropout."""
    text: TextSection
    vocabulary: VocabularySection = VocabularySection()
    backbone: BackboneSection = BackboneSection()
    corruption: CorruptionSection = CorruptionSection()
    train: TrainSection = TrainSection()
    output: OutputSection = OutputSection()

    def resolved(self):
        """This recipe with its files' paths made absolute, so that it runs from anywhere."""
        if self.text.files is None:
            return self
        files = [absolute(path) for path in self.text.files]
        return self.model_copy(update={"text": self.text.model_copy(update={"files": files})})


def load_pretraining(name, overrides=()):
    """The checked, resolved `PretrainingRecipe` of a path or shipped name.

    Raises:
        UsageError: no such recipe, not TOML, or one of `compacter train`.
        RecipeError: the recipe has problems; it lists all of them.
    """
    source, tables = read_tables(name)
    if "task" in tables:
        raise UsageError(
            f"{source} is a recipe of training, it has a task and no text to pretrain on",
            f"compacter train --recipe {name}",
        )
    tables = override(_without_the_other_text(tables, overrides), overrides)
    try:
        recipe = PretrainingRecipe.model_validate(tables).resolved()
    except ValidationError as error:
        raise RecipeError(source, problems_of(error, PretrainingRecipe, ())) from None
    if problems := _cross_checks(recipe):
        raise RecipeError(source, problems)
    return recipe


def load_any(name, overrides=()):
    """The checked recipe of either kind, by what it holds."""
    from compacter_cli.recipe.recipe import load_recipe

    _, tables = read_tables(name)
    return (load_pretraining if is_pretraining(tables) else load_recipe)(name, overrides)


def _without_the_other_text(tables, overrides):
    """`tables` without the recipe's `text.world` where `--set` gives `text.files`, or reverse."""
    given = {text.partition("=")[0].strip() for text in overrides}
    text = tables.get("text")
    if isinstance(text, dict):
        for key, other in (("text.files", "world"), ("text.world", "files")):
            if key in given:
                text.pop(other, None)
        if "text.files" in given:
            text.pop("world_exercises", None)
    return tables


def _cross_checks(recipe):
    """Problems between sections."""
    problems = []
    needed = sentinels_needed(recipe.train.length, recipe.corruption)
    if recipe.vocabulary.sentinels < needed:
        problems.append(
            Problem(
                "vocabulary.sentinels",
                f"{recipe.vocabulary.sentinels} are too few for pieces of {recipe.train.length} "
                "tokens (train.length) with this corruption",
                f"set it to {needed} or more",
            )
        )
    smallest = fixed_pieces(recipe.vocabulary.sentinels)
    if recipe.vocabulary.size < smallest:
        problems.append(
            Problem(
                "vocabulary.size",
                f"{recipe.vocabulary.size} is less than what every vocabulary holds: sentinels, "
                "special pieces, letters, digits and punctuation",
                f"set it to {smallest} or more",
            )
        )
    return problems

"""What the sections of a pretraining recipe hold, and the checks within one of them."""

from typing import Annotated, Literal, Self

from pydantic import Field, PositiveFloat, model_validator

from compacter_cli.section import Count, CountFromZero, Dimension, Section, Text
from compacter_cli.t5.shapes import MOST_LAYERS, WIDEST, T5Shape


class TextSection(Section):
    """The text: exactly one of `files` and `world`."""

    files: Annotated[list[Text], Field(min_length=1)] | None = None
    """Files in UTF-8, a passage a line; blank and repeated lines are skipped."""
    world: Count | None = None
    """Take that many paragraphs of the demo world instead."""
    world_exercises: CountFromZero = 0
    """With `world`: practise that many of its exercises too, text to text, beside the reading."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 42
    """Decides which passages are held out, and the paragraphs of the demo world."""
    validation: Count = 1_000
    """Passages held out for the validation loss; a tenth of them where that is less."""

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Self:
        if (self.files is None) == (self.world is None):
            what = "neither" if self.files is None else "both"
            raise ValueError(f"give exactly one of files and world; here are {what}")
        if self.files is not None and self.world_exercises:
            raise ValueError("world_exercises are of the demo world; they do not go with files")
        return self


class VocabularySection(Section):
    """The SentencePiece vocabulary (byte-pair encoding), made from the text."""

    size: Annotated[int, Field(gt=0, le=WIDEST)] = 1_000
    """Pieces in all, sentinels and the three special ones included; a text that has words for
    fewer gets fewer."""
    sentinels: Dimension = 32
    """Pieces <extra_id_0>, <extra_id_1>, ... that stand for spans taken out."""


class BackboneSection(Section):
    """Dimensions of the T5."""

    hidden_dim: Dimension = 128
    intermediate_dim: Dimension = 512
    """Inner dimension of the feed-forward."""
    num_layers: Annotated[int, Field(gt=0, le=MOST_LAYERS)] = 3
    """Blocks of the encoder, and of the decoder."""
    num_heads: Dimension = 4
    key_value_dim: Dimension = 32
    """Dimension of one head."""
    gated: bool = False
    """Gated GELU in the feed-forward, as T5 1.1, instead of ReLU, as T5 1.0."""
    tied: bool = True
    """One table for the embedding and the output head."""
    dropout: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    """Dropout of the whole T5; what repeats little needs none."""

    def shape(self, vocabulary_size: int) -> T5Shape:
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

    steps: CountFromZero = 8_000
    """Updates; 0 writes the random start."""
    batch_size: Count = 64
    """Pieces and exercises of one update."""
    exercise_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    """Share of them that are exercises, where there are any."""
    length: Annotated[int, Field(ge=2, le=4096)] = 48
    """Longest piece in tokens; longer passages are cut into pieces of about equal length."""
    learning_rate: PositiveFloat = 2e-2
    """Peak rate, relative to a weight's own size; T5's was 1e-2. Adafactor uses no more than one
    over the root of the step."""
    warmup_steps: CountFromZero = 300
    clip_norm: PositiveFloat = 1.0
    """Largest norm of an update's gradient."""
    eval_every: Count = 500
    """Updates between two validation losses."""
    save_every: Count = 500
    """Updates between two saves of what an interrupted run continues from."""


class OutputSection(Section):
    """What is written."""

    precision: Literal["float32", "float16", "bfloat16"] = "float32"
    """Precision in which weights are stored; loading them gives float32 values."""

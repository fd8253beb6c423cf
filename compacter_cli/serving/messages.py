"""What is asked and answered over HTTP: the schemas of the API."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from compacter_cli.serving.limits import CHARACTERS, FIELDS, ITEMS, NAME, TEXTS

# One error of a list is told, so the next ones are not looked for: there may be a million.
Name = Annotated[str, Field(max_length=NAME)]
Text = Annotated[str, Field(max_length=CHARACTERS)]
Texts = Annotated[list[Text], Field(min_length=1, max_length=TEXTS, fail_fast=True)]
Items = Annotated[list[Text], Field(max_length=ITEMS, fail_fast=True)]
Cell = Text | bool | int | float | Items


def _check_size(value: object) -> object:
    """Refuse objects of many keys before each is looked at: `max_length` comes after it."""
    if isinstance(value, dict) and len(value) > FIELDS:
        raise PydanticCustomError("too_long", "Object should have at most {n} keys", {"n": FIELDS})
    return value


Row = Annotated[dict[str, Cell], BeforeValidator(_check_size), Field(max_length=FIELDS)]
Rows = Annotated[list[Row], Field(min_length=1, max_length=TEXTS, fail_fast=True)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


class TextsAsked(_Message):
    """Source texts, written as in training: `written` of the adapter shows how."""

    adapter: Name
    """Name of the adapter that answers."""
    texts: Texts
    """The texts."""


class RowsAsked(_Message):
    """Rows of the adapter's task, of which the source texts are written."""

    adapter: Name
    """Name of the adapter that answers."""
    rows: Rows
    """The rows, each with the task's `fields`; what else they hold is not read."""


def _kind_of(value: object) -> str:
    """Which of the two is asked, so that what is wrong is told of that one."""
    return "rows" if isinstance(value, dict) and "rows" in value else "texts"


Asked = Annotated[
    Annotated[TextsAsked, Tag("texts")] | Annotated[RowsAsked, Tag("rows")],
    Discriminator(_kind_of),
    BeforeValidator(_check_size),
]


class Answer(_Message):
    """The answer to one text or row."""

    prediction: str
    """A label's name, or the text that the model wrote where it is no label."""
    probabilities: dict[str, float] | None
    """Of each label by name, as shares of all labels; null for free text."""


class Answers(_Message):
    """The answers, in the order of the texts or rows."""

    adapter: str
    """Name of the adapter that answered."""
    answers: list[Answer]
    """One for each text or row."""


class AdapterShown(_Message):
    """An adapter that answers, and how it is asked."""

    name: str
    """By which it is asked."""
    task: str
    """What it was trained on."""
    method: str
    """How it was trained."""
    fields: list[str]
    """Of a row, in the order of the source text."""
    lists: list[str]
    """Those of the fields that are lists of texts."""
    labels: list[str]
    """Names of the labels; none where it answers in free text."""
    written: str
    """How a source text is written."""
    source_length: int
    """Tokens of a source text, at most: what is longer is cut."""


class Adapters(_Message):
    """All adapters that answer."""

    adapters: list[AdapterShown]
    """In the order in which they were named."""


class Health(_Message):
    """Whether answers can be had."""

    status: Literal["ok", "not answering"]
    """"ok" where they can."""


class Refusal(_Message):
    """Why there is no answer."""

    detail: str
    """What was expected, and what came."""
    hint: str | None = None
    """What to do."""

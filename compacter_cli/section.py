"""The base of everything that a recipe can hold."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A table of a recipe: typed, frozen, strict; an unknown key is an error."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True
    )

"""The base of everything that a recipe can hold."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Text = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """A table of a recipe: typed, frozen, strict; an unknown key is an error."""

    # Not use_attribute_docstrings: it parses every class's source again, at each start of the
    # program; the docstrings under the fields are for readers. Validators are built when needed.
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True
    )

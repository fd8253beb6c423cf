"""The base of everything that a recipe can hold."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, dataclass_transform

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass  # has no public name
else:
    ModelMetaclass = type(BaseModel)

Text = Annotated[str, Field(min_length=1)]


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
class _Frozen(ModelMetaclass):
    """Tells a type checker what `frozen` tells pydantic, so a field's type may be narrowed."""


class Section(BaseModel, metaclass=_Frozen):
    """A table of a recipe: typed, frozen, strict; an unknown key is an error."""

    # Not use_attribute_docstrings: it parses every class's source again, at each start of the
    # program; the docstrings under the fields are for readers. Validators are built when needed.
    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, defer_build=True
    )

    def plain(self) -> dict[str, Any]:
        """The section as plain data, keys without a value left out (TOML knows no null)."""
        return self.model_dump(mode="json", exclude_none=True)

    def toml(self) -> str:
        """The section as TOML, with nothing left to defaults."""
        import tomli_w

        return tomli_w.dumps(self.plain())


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Both values of every dotted key in which two plain recipes differ, by key in order.

    `None` stands for no value.
    """
    first, second = (dict(_flat(tables)) for tables in (one, other))
    pairs = {key: (first.get(key), second.get(key)) for key in sorted(first.keys() | second)}
    return {key: (here, there) for key, (here, there) in pairs.items() if here != there}


def _flat(tables: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value

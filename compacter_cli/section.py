"""The base of everything that a recipe can hold, and where two recipes differ."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, dataclass_transform

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from compacter_cli.errors import Problem, RecipeError, excerpt, flaw_of, nearest_or_all

if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass  # has no public name
    from pydantic_core import ErrorDetails
else:
    ModelMetaclass = type(BaseModel)

# No T5 is wider than the 65,536 of T5-11B's feed-forward, and attention over as many tokens takes
# gigabytes a head. A count beyond 31 bits overflows somewhere in torch or numpy.
LARGEST_DIMENSION = 65_536
LARGEST_COUNT = 2**31 - 1


def _sound(text: str) -> str:
    if flaw := flaw_of(text):
        raise ValueError(flaw)
    return text


AnyText = Annotated[str, AfterValidator(_sound)]
Text = Annotated[AnyText, Field(min_length=1)]
Dimension = Annotated[int, Field(gt=0, le=LARGEST_DIMENSION)]
"""A width, or a length in tokens."""
Count = Annotated[int, Field(gt=0, le=LARGEST_COUNT)]
"""How many of something there are: at least one."""
CountFromZero = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
"""How many of something there are, if any."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
class _Frozen(ModelMetaclass):
    """Tells a type checker what `frozen` tells pydantic, so a field's type may be narrowed.

    What a section is made of in Python is refused as what stands in a recipe is.
    """

    if not TYPE_CHECKING:  # which would take it for a constructor of anything

        def __call__(cls, *args: Any, **fields: Any) -> Any:  # noqa: N805 - a metaclass
            try:
                return super().__call__(*args, **fields)
            except ValidationError as error:
                problems = [_problem(item, cls.model_fields) for item in error.errors()]
                raise RecipeError(f"{cls.__name__}(...)", problems) from None


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


def misfit(item: "ErrorDetails") -> str:
    """What pydantic finds wrong with a value, in words: what it must be, and what came."""
    kind, more = item["type"], item.get("ctx", {})
    if kind == "missing":
        return "missing"
    if kind == "value_error":
        return str(more["error"])
    if kind == "too_short":
        return (
            f"must hold at least {more['min_length']}. "
            f"Received: {more['actual_length'] or 'nothing'}"
        )
    return f"{item['msg'].replace('Input should be', 'must be')}. Received: {shown(item['input'])}"


def shown(value: object) -> str:
    """A value that is none, in an error."""
    return f'"{excerpt(value, 60)}"' if isinstance(value, str) else excerpt(value, 60)


def _problem(item: "ErrorDetails", known: Iterable[str]) -> Problem:
    """What is wrong with one of the fields that a section was made of."""
    key = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        return Problem(key, "unknown", nearest_or_all(key, known))
    return Problem(key, misfit(item))


def differences(
    one: Mapping[str, Any], other: Mapping[str, Any], free: tuple[str, ...] = ()
) -> list[str]:
    """The dotted keys, sorted, at which two plain sections hold other values, or only one does.

    Those that begin with one of `free` are not looked at.
    """
    first, second = dict(flat(one)), dict(flat(other))
    keys = sorted(key for key in first.keys() | second.keys() if not key.startswith(free))
    return [key for key in keys if first.get(key) != second.get(key)]


def value_at(tables: Mapping[str, Any], key: str, absent: str) -> Any:
    """The value of a plain section at a dotted key; `absent` where it holds none."""
    return dict(flat(tables)).get(key, absent)


def flat(tables: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested tables under its dotted key."""
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def seed_of(seed: int, name: str) -> int:
    """What a recipe's `seed` is for the thing called `name`: of 31 bits, stable for ever."""
    return zlib.crc32(f"{seed}/{name}".encode()) & 0x7FFFFFFF

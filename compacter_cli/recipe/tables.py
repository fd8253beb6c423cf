"""TOML and `--set` to plain tables, before anything in them is checked."""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Set
from typing import Any, TypeAlias

from compacter_cli.errors import UsageError, excerpt, flaw_of
from compacter_cli.recipe.shipped import find_recipe

Overrides: TypeAlias = Mapping[str, Any] | Iterable[str]
"""Values by dotted key, or `section.key=value` as the command line's `--set` has them."""

# Where the rows of a published task may be: one place, so that one given later is instead of it.
PLACES = frozenset({"data.data_dir", "data.folder", "data.archive"})

DEEPEST = 16  # tables and lists inside one another, and parts of a key; a recipe has three
WIDEST_INTEGER = 1_024  # bits; beyond some thousand digits Python refuses even to print one

# What may hold dots or signs that are no TOML: texts, closed or not, and comments.
_NO_KEY = re.compile(
    r"""
    \"{3} (?: \\.? | [^\\] )*? (?: \"{3,5} | \Z ) | '{3} .*? (?: '{3,5} | \Z )
    | " (?: \\.? | [^"\\\n] )* ["\n]? | ' [^'\n]* ['\n]? | \# [^\n]*
    """,
    re.VERBOSE | re.DOTALL,
)
_LONG_KEY = re.compile(rf"(?<![\w-])(?:[\w-]++[ \t]*+\.[ \t]*+){{{DEEPEST}}}")


def read_tables(name: str) -> tuple[str, dict[str, Any]]:
    """`(where it was found, its tables as plain data)` of a recipe of any kind, unchecked.

    Raises:
        UsageError: there is no such recipe, it is not TOML, or such that no recipe is.
    """
    source, text = find_recipe(name)
    try:
        return source, parse(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: not TOML: {error}", "mend the line it names") from error
    except ValueError as error:
        raise UsageError(f"{source}: {error}", "no recipe needs that") from error


def parse(text: str) -> dict[str, Any]:
    """The tables of a TOML text that may be anybody's.

    Raises:
        TOMLDecodeError: it is not TOML.
        ValueError: it is, but nested or dotted without end, or holds an integer of that kind.
    """
    # Before it is parsed: a key of n parts takes tomllib n * n steps, of 50,000 two minutes.
    if _LONG_KEY.search(_NO_KEY.sub("x", text)):
        raise ValueError(f"a key has more than {DEEPEST} parts")
    try:
        tables = tomllib.loads(text)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # tomllib's own are the above; this one is Python's
        raise ValueError("it holds an integer of thousands of digits") from None
    _check_values(tables)
    return tables


def _check_values(tables: dict[str, Any]) -> None:
    level: list[Any] = [tables]
    for _ in range(DEEPEST + 1):
        for value in level:
            if isinstance(value, int) and value.bit_length() > WIDEST_INTEGER:
                raise ValueError(f"it holds an integer of {value.bit_length():,} bits")
        level = [part for value in level for part in _parts(value)]
        if not level:
            return
    raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def is_pretraining(tables: Mapping[str, Any]) -> bool:
    """Whether plain `tables` are a recipe of `compacter pretrain`."""
    return "text" in tables and "task" not in tables


def plain_tables(tables: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of tables that Python made, as TOML would give them: paths are strings."""
    return {str(key): _plain(value) for key, value in tables.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain_tables(value)
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def override(tables: dict[str, Any], overrides: Overrides) -> dict[str, Any]:
    """`tables` after overrides; the value of a string that is no TOML is a plain string.

    Args:
        tables: changed in place.
        overrides: `{"section.key": value}`, or `section.key=value` strings applied in order. A
            place of rows is instead of the one that is there.

    Raises:
        UsageError: one is no `section.key=value`, or such that no recipe needs it.
    """
    if isinstance(overrides, str):
        raise UsageError(
            f"expected values by dotted key, got one text: {excerpt(overrides)}",
            'such as {"train.epochs": 3}',
        )
    if isinstance(overrides, Mapping):
        given = list(plain_tables(overrides).items())
    else:
        given = [_key_and_value(text) for text in overrides]
    _make_way(tables, {dotted for dotted, _ in given})
    for dotted, value in given:
        put(tables, dotted, value)
    return tables


def _make_way(tables: Mapping[str, Any], given: Set[str]) -> None:
    """Let a place of rows that is given now stand for the one that a recipe has."""
    data = tables.get("data")
    if isinstance(data, dict) and not given.isdisjoint(PLACES):
        for place in PLACES - given:
            data.pop(place.partition(".")[2], None)


def _key_and_value(text: str) -> tuple[str, Any]:
    """The dotted key and the value of `section.key=value`."""
    dotted, equals, value = text.partition("=")
    if not equals or not dotted.strip():
        raise UsageError(
            f"--set {excerpt(text)}: expected section.key=value", "such as --set train.epochs=3"
        )
    if flaw := flaw_of(text):
        raise UsageError(f"--set {excerpt(text)}: it {flaw}", "write it in UTF-8")
    if dotted.count(".") >= DEEPEST:
        raise UsageError(
            f"--set {excerpt(text)}: the key has more than {DEEPEST} parts",
            "such as --set train.epochs=3",
        )
    return dotted.strip(), _toml_value(value.strip(), text)


def put(tables: dict[str, Any], dotted: str, value: Any) -> None:
    """Give the dotted key of plain tables a value, in sections made where there are none.

    Raises:
        UsageError: a part of the key is a value there.
    """
    *sections, key = dotted.split(".")
    table = tables
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UsageError(
                f"--set {excerpt(dotted)}: {excerpt(section)} is a value, not a section"
            )
    table[key] = value


def _toml_value(value: str, text: str) -> Any:
    try:
        parsed = parse(f"value = {value}")
    except tomllib.TOMLDecodeError:
        return value
    except ValueError as error:
        raise UsageError(f"--set {excerpt(text)}: {error}", "no recipe needs that") from error
    return parsed["value"] if parsed.keys() == {"value"} else value

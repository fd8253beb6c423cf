"""TOML and `--set` to plain tables, before anything in them is checked."""

import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from compacter_cli.errors import UsageError
from compacter_cli.recipe.shipped import find_recipe


def read_tables(name: str) -> tuple[str, dict[str, Any]]:
    """`(where it was found, its tables as plain data)` of a recipe of any kind, unchecked.

    Raises:
        UsageError: there is no such recipe, or it is not TOML.
    """
    source, text = find_recipe(name)
    try:
        return source, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source}: not TOML: {error}", "mend the line it names") from error


def is_pretraining(tables: Mapping[str, Any]) -> bool:
    """Whether plain `tables` are a recipe of `compacter pretrain`."""
    return "text" in tables and "task" not in tables


def override(tables: dict[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
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


def _toml_value(text: str) -> Any:
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if parsed.keys() == {"value"} else text

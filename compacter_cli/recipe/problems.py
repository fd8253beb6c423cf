"""What pydantic finds wrong with a recipe, told by the keys that stand in it, each with a hint."""

from collections.abc import Collection, Mapping
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from compacter_cli.errors import Problem, counted, excerpt, nearest_or_all
from compacter_cli.methods import METHODS
from compacter_cli.recipe.choices import UNKNOWN_METHOD, data_class
from compacter_cli.recipe.sections import DATA_SECTIONS
from compacter_cli.section import Section, misfit, shown

MOST_PROBLEMS = 50  # that are told; nobody reads, or prints in time, a hundred thousand
Tables = Mapping[str, Any]  # a recipe as plain data, of which anything may be wrong


def problems_of(error: ValidationError, kind: type[Section], tables: Tables) -> list[Problem]:
    """What is wrong with a recipe.

    Keys of [data] are left out where the task is unknown: which of them it has, nobody knows.

    Args:
        error: what pydantic found.
        kind: the class of the recipe.
        tables: the recipe.
    """
    items = error.errors()
    if any(item["loc"] == ("task",) for item in items):
        items = [item for item in items if not _is_unknown_key_of_data(item)]
    problems = [_problem(item, kind, tables) for item in items[:MOST_PROBLEMS]]
    if more := len(items) - len(problems):
        problems.append(Problem("recipe", counted(more, "more problem"), "mend these first"))
    return problems


def _is_unknown_key_of_data(item: ErrorDetails) -> bool:
    return item["type"] == "extra_forbidden" and item["loc"][0] == "data"


def _problem(item: ErrorDetails, kind: type[Section], tables: Tables) -> Problem:
    """A pydantic error as a `Problem`, under the name that stands in the recipe."""
    key = excerpt(".".join(map(str, item["loc"]))) or "recipe"
    problem, more = item["type"], item.get("ctx", {})
    if problem == "extra_forbidden":
        return _unknown_key(key, item, kind, tables)
    if problem == "missing":
        return Problem(key, misfit(item), "add it to the recipe or give it with --set")
    if problem == UNKNOWN_METHOD:
        return Problem(key, item["msg"], more["hint"])
    if problem in ("model_type", "model_attributes_type"):
        return Problem(key, f"must be a table, [{key}]. Received: {shown(item['input'])}")
    return Problem(key, misfit(item))


def _unknown_key(key: str, item: ErrorDetails, kind: type[Section], tables: Tables) -> Problem:
    """A key that is none of its section's: whose it is, or which one may be meant."""
    section, known = _section_of(item["loc"], kind, tables)
    word = str(item["loc"][-1])
    whose = _whose(word) if _is_unknown_key_of_data(item) else None
    hint = f"it is for {whose}" if whose else nearest_or_all(word, known)
    if len(item["loc"]) == 1 and (inside := _keys_inside(word, kind, tables)):
        hint = f'did you mean "{inside[0]}"?'
    return Problem(key, f"unknown key{section}", hint)


def _keys_inside(word: str, kind: type[Section], tables: Tables) -> list[str]:
    """The dotted keys of what a recipe's sections know by this name."""
    sections = {name: _section_in(field.annotation) for name, field in kind.model_fields.items()}
    if "method" in sections:
        method = tables.get("method")
        name = method.get("name") if isinstance(method, Mapping) else None
        chosen = {"method": METHODS.get(str(name)), "data": data_class(str(tables.get("task")))}
        sections = {**sections, **chosen}
    kinds = {name: held for name, held in sections.items() if held}
    return [f"{name}.{word}" for name, held in kinds.items() if word in held.model_fields]


def _whose(key: str) -> str | None:
    """The tasks whose [data] has a key, or `None`."""
    return next((kind.whose for kind in DATA_SECTIONS if key in kind.model_fields), None)


def _section_of(
    location: tuple[int | str, ...], kind: type[Section], tables: Tables
) -> tuple[str, Collection[str]]:
    """(" of <section>", its known keys) for the table in which `location` lies."""
    section, *inside = map(str, location)
    if not inside:
        return "", kind.model_fields
    if section == "method":
        name = tables["method"]["name"]
        return f' of method "{name}"', METHODS[name].model_fields
    if section == "data":
        return f" of [{section}]", data_class(tables["task"]).model_fields
    held = _section_in(kind.model_fields[section].annotation)
    assert held is not None
    return f" of [{section}]", held.model_fields


def _section_in(annotation: object) -> type[Section] | None:
    """The section that a field holds, one of several or none; `None` where it holds no section."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    inside = (_section_in(part) for part in get_args(annotation))
    return next(filter(None, inside), None)

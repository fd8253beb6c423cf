"""What pydantic finds wrong with a recipe, told by the keys that stand in it, each with a hint."""

from compacter_cli.errors import Problem, did_you_mean
from compacter_cli.methods import METHODS


def problems_of(error, kind, kinds):
    """The `Problem`s of a pydantic error.

    Keys of [data] are left out where the task is unknown: which of them it has, nobody knows.

    Args:
        error: pydantic `ValidationError`.
        kind: the class of recipe that was tried.
        kinds: all of them, to tell whose key stands in the wrong one.
    """
    items = error.errors()
    if any(item["loc"] == ("task",) for item in items):
        items = [item for item in items if not _is_unknown_key_of_data(item)]
    return [_problem(item, kind, kinds) for item in items]


def _is_unknown_key_of_data(item):
    return item["type"] == "extra_forbidden" and item["loc"][0] == "data"


def _problem(item, kind, kinds):
    """A pydantic error as a `Problem`, under the name that stands in the recipe."""
    location = [str(part) for part in item["loc"]]
    if location[:1] == ["method"] and len(location) > 1:
        del location[1]  # pydantic's tag of the union, not a key
    key = ".".join(location) or "recipe"
    problem = item["type"]
    if problem == "extra_forbidden":
        return _unknown_key(key, item, kind, kinds)
    if problem == "missing":
        return Problem(key, "missing", "add it to the recipe or give it with --set")
    if problem in ("union_tag_invalid", "union_tag_not_found"):
        name = item["input"].get("name", "") if isinstance(item["input"], dict) else ""
        hint = did_you_mean(name, METHODS) or _list(METHODS)
        return Problem("method.name", f'unknown method "{name}"' if name else "missing", hint)
    if problem in ("model_type", "model_attributes_type"):
        return Problem(key, f"must be a table, [{key}]. Received: {_shown(item['input'])}")
    if problem == "value_error":
        return Problem(key, str(item["ctx"]["error"]))
    message = item["msg"].replace("Input should be", "must be")
    return Problem(key, f"{message}. Received: {_shown(item['input'])}")


def _unknown_key(key, item, kind, kinds):
    """A key that is none of its section's: whose it is, or which one may be meant."""
    section, known = _section_of(item["loc"], kind)
    word = str(item["loc"][-1])
    whose = _whose(word, kinds) if _is_unknown_key_of_data(item) else None
    hint = f"it is for {whose}" if whose else did_you_mean(word, known) or _list(known)
    return Problem(key, f"unknown key{section}", hint)


def _whose(key, kinds):
    """The tasks whose [data] has a key, or `None`."""
    sections = (kind.model_fields["data"].annotation for kind in kinds)
    return next((section.whose for section in sections if key in section.model_fields), None)


def _section_of(location, kind):
    """(" of <section>", its known keys) for the table in which `location` lies."""
    if len(location) < 2:
        return "", tuple(kind.model_fields)
    section = location[0]
    if section == "method":
        return f' of method "{location[1]}"', tuple(METHODS[location[1]].model_fields)
    model = kind.model_fields[section].annotation
    return f" of [{section}]", tuple(model.model_fields)


def _list(names):
    return "known: " + ", ".join(names)


def _shown(value):
    text = f'"{value}"' if isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."

"""The sections whose class another value decides: [method] by its name, [data] by the task."""

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticKnownError

from compacter_cli.errors import UsageError
from compacter_cli.methods import METHODS
from compacter_cli.methods.base import Method
from compacter_cli.recipe.sections import DataSection, OwnDataSection
from compacter_cli.tasks.own import FORMATS

UNKNOWN_METHOD = "unknown_method"  # type of the error, as pydantic's own have one


def data_class(task: object) -> type[DataSection] | type[OwnDataSection]:
    """The class of the data section for a recipe's `task`, which need not be one that there is."""
    return OwnDataSection if task in FORMATS else DataSection


def read_method(value: object) -> Method:
    """The checked [method] of a recipe.

    Raises:
        ValidationError: it is no table, is of no known method, or its settings are wrong.
    """
    if isinstance(value, Method):
        return value
    if not isinstance(value, dict):
        return Method.model_validate(value)  # which says that it must be a table
    name = str(value.get("name", ""))
    try:
        return METHODS[name].model_validate(value)
    except UsageError as error:
        said = {"said": str(error) if name else "missing", "hint": error.hint}
        problem = PydanticCustomError(UNKNOWN_METHOD, "{said}", said)
        line = InitErrorDetails(type=problem, loc=("name",), input=name)
        raise ValidationError.from_exception_data("method", [line]) from None


def read_data(value: object, task: object) -> DataSection | OwnDataSection:
    """The checked [data] of a recipe; `value` is a `DataSection` where the recipe has none.

    Raises:
        ValidationError: it is no table, or its values are wrong.
        PydanticKnownError: rows of one's own need one, and it is missing.
    """
    kind = data_class(task)
    if kind is OwnDataSection and isinstance(value, DataSection):
        raise PydanticKnownError("missing")
    return kind.model_validate(value)

"""What is written and printed for machines, as JSON Schemas made from the types.

`docs/schemas` holds them, a file each; a test rewrites those that are stale.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.adapters.manifest import Manifest
from compacter_cli.commands import (
    data_prepare,
    data_status,
    demo,
    plan,
    predict,
    recipes,
    serve,
    sweep_words,
)
from compacter_cli.commands.console import Told
from compacter_cli.exchange.trained import Converted, ConvertedBackbone
from compacter_cli.methods import METHODS
from compacter_cli.paper.counting import Counted
from compacter_cli.pretraining.recipe import PretrainingRecipe
from compacter_cli.pretraining.records import Pretrained, Summary, ValidationLine
from compacter_cli.profiling.rows import Profile
from compacter_cli.recipe.sections import (
    BackboneSection,
    DataSection,
    OutputSection,
    OwnDataSection,
    TrainSection,
)
from compacter_cli.reports.rendering import TableData
from compacter_cli.reports.report import ReportData
from compacter_cli.sweeps.records import IndexLine
from compacter_cli.training.evaluation import Evaluation
from compacter_cli.training.predictions import Header, Line
from compacter_cli.training.records import Environment, EpochLine, Result, UpdateLine

DIALECT = "https://json-schema.org/draft/2020-12/schema"


_ANY_METHOD: Any = reduce(or_, METHODS.values())


class RecipeData(TypedDict):
    """A recipe with every default filled in; a key without a value is left out."""

    task: str
    seed: int
    backbone: BackboneSection
    method: _ANY_METHOD  # pyright: ignore[reportInvalidTypeForm]
    data: DataSection | OwnDataSection
    train: TrainSection
    output: OutputSection


class Published(NamedTuple):
    """A schema: the version of what it describes, its type, and where that is met.

    The version goes up when something that was there is gone, or means another thing; what is
    added leaves it as it is.
    """

    version: int
    kind: Any
    where: str


SCHEMAS = {
    # Of a run's directory.
    "result": Published(1, Result, "result.json; train --json"),
    "metrics": Published(1, UpdateLine | EpochLine, "a line of metrics.jsonl"),
    "environment": Published(1, Environment, "environment.json"),
    "manifest": Published(1, Manifest, "adapter.json"),
    "predictions-header": Published(1, Header, "the first line of predictions.jsonl"),
    "predictions": Published(1, Line, "every other line of predictions.jsonl"),
    # Of a pretraining's, and of a sweep's.
    "pretraining": Published(1, Summary, "pretraining.json"),
    "pretraining-metrics": Published(
        1, UpdateLine | ValidationLine, "a line of a pretraining's metrics.jsonl"
    ),
    "sweep-index": Published(1, IndexLine, "a line of index.jsonl"),
    # What commands print with --json.
    "error": Published(1, Told, "any command that fails, on standard error"),
    "plan": Published(1, plan.Plan, "train --dry-run"),
    "evaluation": Published(1, Evaluation, "evaluate"),
    "answers": Published(1, list[predict.Answer], "predict; without --json a line each"),
    "answering": Published(1, serve.Answering, "serve, once it answers"),
    "conversion": Published(1, Converted | ConvertedBackbone, "convert"),
    "demo": Published(1, demo.Story, "demo"),
    "pretrained": Published(1, Pretrained, "pretrain"),
    "sweep-plan": Published(1, sweep_words.SweepPlan, "sweep --dry-run"),
    "sweep": Published(1, sweep_words.SweepDone, "sweep"),
    "report": Published(1, ReportData, "report"),
    "table": Published(1, TableData, "report --table"),
    "counts": Published(1, list[Counted], "count-params"),
    "profile": Published(1, Profile, "profile"),
    "recipe": Published(1, RecipeData, "validate, of a recipe that trains"),
    "pretraining-recipe": Published(1, PretrainingRecipe, "validate, of a recipe that pretrains"),
    "data-status": Published(1, list[data_status.Status], "data status"),
    "data-prepared": Published(1, list[data_prepare.Outcome], "data prepare"),
    "recipes": Published(1, list[recipes.Listed], "recipes list"),
}


class _Untitled(GenerateJsonSchema):
    """A schema whose fields have no titles: they would be their names once more."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema called `name`, which says what it is, its version, and where it is met."""
    version, kind, where = SCHEMAS[name]
    return {
        "$schema": DIALECT,
        "$id": f"urn:compacter:{name}:{version}",
        "$comment": where,
        **_adapter(kind).json_schema(schema_generator=_Untitled),
    }


def _adapter(kind: Any) -> TypeAdapter[Any]:
    # Names that the types' own modules import for type checkers alone are looked up here.
    from compacter_cli.adapters.manifest import StartedFrom  # noqa: F401
    from compacter_cli.data.rows import Origin  # noqa: F401
    from compacter_cli.data.tfds_directory import Receipt  # noqa: F401
    from compacter_cli.paper.demo_scores import Measured  # noqa: F401
    from compacter_cli.profiling.forecast import Forecast  # noqa: F401
    from compacter_cli.training.run_state import Standing  # noqa: F401

    return TypeAdapter(kind)

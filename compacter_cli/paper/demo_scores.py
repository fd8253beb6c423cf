"""What the demo tasks scored on the demo backbone, from the file that a benchmark writes.

`compacter sweep demo` trains the paper's methods on every demo task, and
`benchmarks/demo_scores.py` writes `demo_scores.json` out of it; nothing in it is typed by hand.
"""

import json
from functools import cache
from pathlib import Path
from statistics import fmean

from typing_extensions import TypedDict  # pydantic asks for this one before Python 3.12

from compacter_cli.recipe.recipe import Recipe, load_recipe
from compacter_cli.t5.shapes import DEMO_PRESET

FOLDER = Path(__file__).parent
FILE = "demo_scores.json"
COMMAND = "compacter sweep demo"


class Run(TypedDict):
    """One seed's training: scores by metric, in percent, and how many answers were no label."""

    seed: int
    validation: dict[str, float]
    test: dict[str, float]
    invalid: int


class Cell(TypedDict):
    """What one method scored on one task, at the learning rate of the best validation score."""

    trained_parameters: int
    learning_rate: float
    validation_by_rate: dict[str, float | None]
    majority: dict[str, float]
    runs: list[Run]


class DemoScores(TypedDict, total=False):
    """The file, of what is read: cells by task and arm ("random" is not pretrained)."""

    tasks: dict[str, dict[str, Cell]]


class Measured(TypedDict):
    """Full fine-tuning's mean test scores by metric, and of how many seeds."""

    seeds: int
    full: dict[str, float]


@cache
def demo_scores() -> DemoScores:
    """The file's content; empty where it was never written."""
    path = FOLDER / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def measured_scores(recipe: Recipe) -> Measured | None:
    """Mean test scores of full fine-tuning on this recipe's task and backbone, or `None`.

    They are known for the demo tasks on the demo backbone alone, and for data and a length of
    training as in the shipped recipes: `{"seeds": 3, "full": {"accuracy": 93.1}}`.
    """
    cells = demo_scores().get("tasks", {}).get(recipe.task, {})
    if recipe.backbone.preset != DEMO_PRESET or "full" not in cells:
        return None
    shipped = load_recipe(f"{recipe.task}_full")
    data = recipe.data.model_copy(update={"prefix": shipped.data.prefix})  # the method's affair
    if data != shipped.data or recipe.train.epochs != shipped.train.epochs:
        return None
    return {"seeds": len(cells["full"]["runs"]), "full": mean_scores(cells["full"])}


def mean_scores(cell: Cell) -> dict[str, float]:
    """Mean of every metric over the seeds of one cell."""
    runs = [run["test"] for run in cell["runs"]]
    return {name: fmean(run[name] for run in runs) for name in runs[0]}

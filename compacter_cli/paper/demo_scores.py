"""What the demo tasks scored on the demo backbone, from the file that a benchmark writes.

`benchmarks/demo_scores.py` trains every method on every demo task and writes `demo_scores.json`;
nothing in it is typed by hand.
"""

import json
from functools import cache
from importlib.resources import files
from statistics import fmean

from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.shapes import DEMO_PRESET

FILE = "demo_scores.json"
COMMAND = "python benchmarks/demo_scores.py"


@cache
def demo_scores():
    """The file's content; empty where it was never written."""
    path = files("compacter_cli.paper") / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def measured_scores(recipe):
    """Mean test scores of full fine-tuning on this recipe's task and backbone, or `None`.

    They are known for the demo tasks on the demo backbone alone, and for data and a length of
    training as in the shipped recipes: `{"seeds": 3, "full": {"accuracy": 93.1}}`.
    """
    cells = demo_scores().get("tasks", {}).get(recipe.task, {})
    if recipe.backbone.preset != DEMO_PRESET or "full" not in cells:
        return None
    shipped = load_recipe(f"{recipe.task}_full")
    if recipe.data != shipped.data or recipe.train.epochs != shipped.train.epochs:
        return None
    return {"seeds": len(cells["full"]["runs"]), "full": mean_scores(cells["full"])}


def mean_scores(cell):
    """Mean of every metric over the seeds of one cell."""
    runs = [run["test"] for run in cell["runs"]]
    return {name: fmean(run[name] for run in runs) for name in runs[0]}

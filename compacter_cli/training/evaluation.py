"""An adapter scored again on a split of its task's rows, in a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NotRequired

from compacter_cli.errors import UsageError, nearest_or_all
from compacter_cli.training.records import ScoresRecord

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.data.rows import Origin
    from compacter_cli.data.sources import RowSource
    from compacter_cli.recipe.recipe import Recipe


SPLITS = "train", "validation", "test"


def scoring_all(recipe: Recipe, path: str) -> Recipe:
    """An adapter's recipe by which a file of rows is every split, so that each has all of them.

    Raises:
        RecipeError: its task has no rows of one's own.
    """
    from compacter_cli.recipe.recipe import load_recipe

    files = {f"data.{split}": path for split in SPLITS}
    return load_recipe(recipe, {**files, "data.max_train_samples": None})


class Evaluation(ScoresRecord):
    """Scores of an adapter on a split; `recorded` are those that the run wrote down itself."""

    task: str
    method: str
    adapter: str
    split: str
    data: Origin
    paper: list[float] | None
    recorded: NotRequired[dict[str, float] | None]


def evaluate(
    *,
    adapter: Path | str,
    recipe: Recipe,
    split: str = "test",
    device: str | None = None,
    offline: bool = False,
    source: RowSource | None = None,
) -> Evaluation:
    """Score an adapter.

    Args:
        adapter: directory of the adapter.
        recipe: the one it was trained by, or with other places of backbone and rows.
        split: "test", "validation" or "train", as the paper splits.
        device: "cpu" or "cuda"; a GPU where there is one.
        offline: fetch nothing.
        source: where the rows are, if that was found out already.

    Raises:
        UsageError: there is no such split, or the recipe is another adapter's.
        CompacterError: the adapter is damaged or not of this backbone, or the data is not there.
    """
    from compacter_cli.adapters.adapter_file import load_adapter
    from compacter_cli.adapters.restoring import backbone_of, check_use, model_with
    from compacter_cli.data.dataset import build_dataset
    from compacter_cli.data.sources import find_rows
    from compacter_cli.paper.tables import paper_scores
    from compacter_cli.t5.runtime import on_device
    from compacter_cli.tasks import task_of
    from compacter_cli.training.scoring import evaluate as score_split

    if split not in SPLITS:
        raise UsageError(f'no split "{split}"', nearest_or_all(split, SPLITS))
    task = task_of(recipe)
    loaded = load_adapter(adapter)
    check_use(loaded.manifest, loaded.directory, recipe)
    rows = (source or find_rows(task, recipe.data, offline)).load()
    with on_device(device) as device_name:
        backbone = backbone_of(recipe)
        model = model_with(backbone, loaded, recipe)
        dataset = build_dataset(task, rows, backbone.vocabulary, recipe.data, recipe.seed)
        size = recipe.train.eval_batch_size
        scores, _ = score_split(model, backbone.vocabulary, task, dataset, split, size, device_name)
    return {
        "task": recipe.task,
        "method": recipe.method.name,
        "adapter": str(adapter),
        "split": split,
        "data": dataset.origin,
        **scores.record(),
        "paper": paper_scores(task, recipe.method.name, getattr(recipe.method, "n", None)),
    }

"""`compacter evaluate`: score a run's adapter again, in a fresh process."""

from typing import Annotated

import typer

from compacter_cli.adapters.predictor import adapter_of_run, check_recipe, model_with
from compacter_cli.commands.console import out, print_json, show_note
from compacter_cli.commands.options import (
    AdapterOption,
    DeviceOption,
    JsonOption,
    OfflineOption,
    RunOption,
    SetOption,
    SplitName,
)
from compacter_cli.data.sources import check_rows, load_rows
from compacter_cli.paper.tables import paper_scores
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.t5.loading import check_preset
from compacter_cli.t5.runtime import hide_tensorflow, start_keras
from compacter_cli.tasks import task_of
from compacter_cli.training.report import scores_table, warnings_of
from compacter_cli.training.run_directory import RECIPE, read_result


def command(
    run: RunOption,
    split: Annotated[SplitName, typer.Option("--split", help="Which split to score.")] = "test",
    adapter: AdapterOption = "best",
    set_: SetOption = None,
    device: DeviceOption = None,
    offline: OfflineOption = False,
    json_: JsonOption = False,
):
    """Score a run's adapter on a split, beside what the run itself recorded.

    Example: compacter evaluate --run runs/glue/rte/compacterpp/t5_mini-s42-0a1b2c3d --split test
    """
    directory = adapter_of_run(run, adapter)
    recipe = load_recipe(str(run / RECIPE), set_ or [])
    check_preset(recipe.backbone.preset, offline)
    check_rows(task_of(recipe), recipe.data, offline)
    hide_tensorflow()
    start_keras()
    found = evaluate(adapter=directory, recipe=recipe, split=split, device=device, offline=offline)
    recorded = read_result(run) if adapter == "best" else None
    found["recorded"] = recorded and recorded.get(split, {}).get("metrics")
    if recorded and data_changed(found, recorded, split):
        show_note(
            "the data is not what the run was trained on: its files or their number of rows differ"
        )
    print_json(found) if json_ else show(found)


def evaluate(*, adapter, recipe, split="test", device=None, offline=False):
    """Score an adapter.

    Args:
        adapter: directory of the adapter.
        recipe: `Recipe` that names backbone, task and data.
        split: "test", "validation" or "train", as the paper splits.
        device: "cpu" or "cuda"; a GPU where there is one.
        offline: bool. Fetch nothing.

    Returns:
        The scores as plain data.

    Raises:
        CompacterError: the adapter is damaged or not of this backbone, or the data is not there.
    """
    from compacter_cli.adapters.adapter_file import load_adapter
    from compacter_cli.data.dataset import build_dataset
    from compacter_cli.t5.loading import load_backbone
    from compacter_cli.t5.runtime import on_device
    from compacter_cli.training.scoring import evaluate as score_split

    task = task_of(recipe)
    loaded = load_adapter(adapter)
    check_recipe(loaded, recipe)
    rows = load_rows(task, recipe.data, offline)
    with on_device(device) as device:
        precision = recipe.backbone.precision
        backbone = load_backbone(recipe.backbone.preset, precision, recipe.method.trains_in_place)
        model, _ = model_with(backbone, loaded, precision)
        dataset = build_dataset(
            task, rows, backbone.vocabulary, recipe.data, recipe.seed, recipe.method.prefixes_task
        )
        size = recipe.train.eval_batch_size
        scores, _ = score_split(model, backbone.vocabulary, task, dataset, split, size, device)
    return {
        "task": recipe.task,
        "method": recipe.method.name,
        "adapter": str(adapter),
        "split": split,
        "data": dataset.origin,
        **scores.as_dict(),
        "paper": paper_scores(task, recipe.method.name, getattr(recipe.method, "n", None)),
    }


def data_changed(found, recorded, split):
    """Whether the rows cannot be those that a run recorded; a split drawn anew may overlap."""
    counted = recorded.get(split, {}).get("count")
    before, now = (origin.get("sha256", {}) for origin in (recorded.get("data", {}), found["data"]))
    return counted not in (None, found["count"]) or any(
        now[name] != digest for name, digest in before.items() if name in now
    )


def show(found):
    """Print scores, and whether they are those that the run recorded."""
    out.print(f"{found['task']}, {found['split']}: {found['count']} examples")
    out.print(scores_table(found))
    for warning in warnings_of(found):
        show_note(warning)
    if found["recorded"] is not None:
        same = found["recorded"] == found["metrics"]
        figures = ", ".join(f"{name} {value:.2f}" for name, value in found["recorded"].items())
        verdict = "exactly as the run recorded" if same else f"the run recorded {figures}"
        out.print(verdict)

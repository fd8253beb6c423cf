"""`compacter demo`: the story in one go, with nothing but what is installed."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from compacter_cli.commands.console import err, out, print_json, start_frameworks
from compacter_cli.commands.options import DeviceOption, JsonOption
from compacter_cli.commands.progress import Silent, progress_for
from compacter_cli.commands.train import check_before_training, train
from compacter_cli.files import size_text
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.tasks import task_of
from compacter_cli.training.report import bar_chart

METHODS = ("compacterpp", "full")  # the first one answers
ANSWERED = 3  # rows of the test split that are shown with their answers


def command(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the two runs.")] = Path(
        "runs/demo/story"
    ),
    device: DeviceOption = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an earlier demo there.")
    ] = False,
    json_: JsonOption = False,
):
    """Adapt a small pretrained T5 by Compacter++ and by full fine-tuning, and compare.

    Example: compacter demo
    """
    recipes = demo_recipes()
    check_before_telling(recipes, output, overwrite)
    start_frameworks(quiet=json_)
    told = tell(
        recipes=recipes,
        directory=output,
        device=device,
        overwrite=overwrite,
        progress=Silent() if json_ else progress_for(err),
    )
    print_json(told) if json_ else show(told)


def demo_recipes():
    """The recipes of the story by method: one task, one backbone, one seed."""
    return {method: load_recipe(f"demo/entailment_{method}") for method in METHODS}


def check_before_telling(recipes, directory, overwrite=False):
    """Everything that can be known to fail before one of the runs is trained."""
    for method, recipe in recipes.items():
        check_before_training(recipe, directory / method, offline=True, overwrite=overwrite)


def tell(*, recipes, directory, device=None, overwrite=False, progress=None):
    """Train a run a method into `directory` and let the adapter answer some of the test rows.

    Args:
        recipes: resolved `Recipe`s by method, those of `METHODS`.
        directory: path of the folder for the runs; taken ones are refused without `overwrite`.
        device: "cpu" or "cuda"; a GPU where there is one.
        overwrite: bool. Replace runs that are there already.
        progress: display, see `compacter_cli.commands.progress`; silent by default.

    Returns:
        Both runs' results by method and the `answers`, as plain data.

    Raises:
        CompacterError: a run cannot be started, or fails.
    """
    check_before_telling(recipes, directory, overwrite)
    results = {
        method: train(
            recipe=recipe,
            directory=directory / method,
            device=device,
            offline=True,
            overwrite=overwrite,
            progress=progress or Silent(),
        )
        for method, recipe in recipes.items()
    }
    adapted = METHODS[0]
    return {**results, "answers": answered(recipes[adapted], directory / adapted, device)}


def answered(recipe, run, device=None):
    """Test rows with the run's answer and the right one: a dict each of three texts."""
    from compacter_cli.adapters.predictor import Predictor
    from compacter_cli.data.sources import load_rows
    from compacter_cli.t5.loading import load_backbone
    from compacter_cli.t5.runtime import on_device

    task = task_of(recipe)
    rows = task.split.apply(load_rows(task, recipe.data).splits, recipe.data.seed)["test"]
    rows = rows[:ANSWERED]
    with on_device(device):
        predictor = Predictor(load_backbone(recipe.backbone.preset), run / "best")
        answers = predictor.predict_rows(rows)
    return [
        {"text": task.source(row), "answer": answer, "right": task.label_of(task.target(row))}
        for row, answer in zip(rows, answers, strict=True)
    ]


def show(told):
    """Print the story: scores as bars, what each method trained and wrote, and the answers."""
    small, full = (told[method] for method in METHODS)
    (metric,) = small["test"]["metrics"]
    out.print(f"\n{small['task']}: test {metric}, {small['test']['count']} examples\n")
    bars = {
        "untrained": small["before"]["metrics"][metric],
        "majority class": small["test"]["majority"][metric],
        "Compacter++": small["test"]["metrics"][metric],
        "full fine-tuning": full["test"]["metrics"][metric],
    }
    for line in bar_chart(bars):
        out.print(line)
    out.print()
    for title, result in (("Compacter++", small), ("full fine-tuning", full)):
        out.print(
            f"{title:16}  trains {result['trained_parameters']:>9,} parameters "
            f"({result['trained_percent']:.2f} %), writes {size_text(result['adapter_bytes'])}, "
            f"{result['training_seconds']:.0f} s",
            soft_wrap=True,
        )
    out.print("\nCompacter++ answers:")
    for row in told["answers"]:
        verdict = "right" if row["answer"] == row["right"] else f"wrong, it is {row['right']}"
        out.print(f"  {row['text']}\n    -> {row['answer']} ({verdict})", soft_wrap=True)
    out.print(
        f"\nnext: compacter predict --run {shlex.quote(small['run'])} --text "
        '"premise: Every dog sleeps. hypothesis: Every poodle sleeps."',
        soft_wrap=True,
    )

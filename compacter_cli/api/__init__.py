"""What `train` and `evaluate` are in Python: plain arguments, checked as on the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from compacter_cli.adapters.restoring import chosen
from compacter_cli.api.rows import kept_rows
from compacter_cli.errors import user_path
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.training import evaluation, run
from compacter_cli.training.display import Display
from compacter_cli.training.run_directory import adapter_of_run, run_directory, wrote_recipe
from compacter_cli.training.run_log import logged

if TYPE_CHECKING:
    from pathlib import Path

    from compacter_cli.api.rows import Table
    from compacter_cli.recipe.recipe import Given
    from compacter_cli.recipe.tables import Overrides
    from compacter_cli.training.evaluation import Evaluation
    from compacter_cli.training.records import Result


def train(
    recipe: Given,
    overrides: Overrides = (),
    *,
    output: Path | str | None = None,
    device: str | None = None,
    offline: bool = False,
    overwrite: bool = False,
    resume: bool = False,
    display: Display | None = None,
    rows: Table | None = None,
) -> Result:
    """Train a recipe into a run directory, as `compacter train` does.

    Args:
        recipe: a shipped name, the path of a TOML file, a mapping of tables, or a `Recipe`.
        overrides: values by dotted key, such as `{"train.epochs": 3}`, or a list of texts as
            `--set` takes them.
        output: run directory to write; by default one below runs/ that the recipe names.
        device: "cpu" or "cuda"; a GPU where there is one.
        offline: fetch nothing.
        overwrite: replace a run that is there already.
        resume: go on with the run that is there; begin it where there is none.
        display: a `compacter_cli.training.display.Display`, which is told how the run goes on;
            silent by default.
        rows: the training rows of a recipe whose task is "jsonl": dicts by column, or a frame whose
            `to_dict("records")` gives them, as pandas' does. They are written to
            runs/rows/<hash>.jsonl, which becomes the recipe's `data.train`, so that the run can be
            reported, scored and run again like any other.

    Returns:
        The result, as in the run's `result.json`; `result["run"]` is its directory.

    Raises:
        UsageError: the recipe has problems, or the directory is taken.
        MissingResourceError: backbone or rows are neither here nor to be had.
        CompacterError: the run failed.

    Examples:
        >>> result = train("demo/entailment_compacterpp", {"train.epochs": 2}, output="runs/mine")
        >>> result["test"]["metrics"]["accuracy"]
    """
    if rows is not None:
        overrides = _trained_on(overrides, kept_rows(rows))
    known = isinstance(recipe, str) and wrote_recipe(recipe)
    resolved = load_recipe(recipe, overrides, of_run=known)
    with logged(display or Display()) as told:
        return run.train(
            recipe=resolved,
            directory=run_directory(resolved, None if output is None else user_path(output)),
            device=device,
            offline=offline,
            overwrite=overwrite,
            resume=resume,
            display=told,
        )


def _trained_on(overrides: Overrides, path: str) -> Overrides:
    """Overrides that say, too, where the training rows are."""
    if isinstance(overrides, Mapping):
        return {**overrides, "data.train": path}
    return [*overrides, f"data.train={json.dumps(path)}"]


def evaluate(
    run: Path | str,
    overrides: Overrides = (),
    *,
    split: str = "test",
    which: str = "best",
    device: str | None = None,
    offline: bool = False,
    rows: Table | None = None,
) -> Evaluation:
    """Score a trained adapter on a split, as `compacter evaluate` does.

    Args:
        run: a run directory, or that of an adapter alone.
        overrides: where its backbone and rows are now, or how it is computed, by dotted key.
        split: "test", "validation" or "train", as the paper splits.
        which: of a run's adapters "best" or "last".
        device: "cpu" or "cuda"; a GPU where there is one.
        offline: fetch nothing.
        rows: all that is to be scored, by an adapter whose task is "jsonl"; they are taken and
            kept as `train` takes its own. They are every split then, and the files that the
            adapter was trained on need not be there.

    Returns:
        The scores: `metrics` in percent by name, `majority` those of always giving the most
        frequent answer, `count` rows, and how many answers were `invalid`, no label of the task.

    Raises:
        UsageError: there is no such run, or an override would make it another adapter.
        MissingResourceError: backbone or rows are neither here nor to be had.
        CompacterError: the adapter is damaged, or not of its backbone.

    Examples:
        >>> evaluate("runs/mine", split="validation")["metrics"]["accuracy"]
    """
    directory, recipe, _ = chosen(adapter_of_run(user_path(run), which), overrides)
    if rows is not None:
        recipe = evaluation.scoring_all(recipe, kept_rows(rows))
    return evaluation.evaluate(
        adapter=directory,
        recipe=recipe,
        split=split,
        device=device,
        offline=offline,
    )

"""Trains every method on every demo task and writes `compacter_cli/paper/demo_scores.json`.

    python benchmarks/demo_scores.py --work /tmp/demo_scores --jobs 2

An arm is a method, or Compacter++ on the demo backbone's random start. For each arm and task every
rate of one grid is tried with the first seed, the best on validation is kept, and the other seeds
are run with it. Finished runs are kept in `--work`, so that a call that was interrupted goes on;
after a change of recipes, tasks or backbone give another folder.
"""

import argparse
import json
import multiprocessing
import shutil
from pathlib import Path
from statistics import fmean, stdev

from rich.console import Console

from compacter_cli.commands.console import table_of
from compacter_cli.errors import CompacterError, NotFiniteError
from compacter_cli.files import write_json
from compacter_cli.methods import METHODS
from compacter_cli.paper.demo_scores import FILE
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.shipped import shipped_recipes
from compacter_cli.t5.shapes import DEMO_PRESET
from compacter_cli.tasks import DEMO_TASKS
from compacter_cli.training.run_directory import environment

TASKS = tuple(task.name for task in DEMO_TASKS)
GRID = (1e-3, 4e-3, 1.6e-2, 6.4e-2)
SEEDS = (42, 43, 44)
RANDOM = "compacterpp, random weights"
ARMS = (*(name for name in METHODS if f"demo/entailment_{name}" in shipped_recipes()), RANDOM)


def main():
    given = arguments()
    given.work.mkdir(parents=True, exist_ok=True)
    if RANDOM in given.arms:
        random_start(given.work)
    cells = [(task, arm) for task in given.tasks for arm in given.arms]
    run_all([(*cell, rate, SEEDS[0]) for cell in cells for rate in GRID], given)
    best = {cell: best_rate(given.work, *cell) for cell in cells}
    run_all([(*cell, best[cell], seed) for cell in cells for seed in SEEDS[1:]], given)
    written = summary(given.work, given.tasks, given.arms, best)
    if given.output:
        given.output.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")
    show(written)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the finished runs")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    default = Path(__file__).parents[1] / "compacter_cli" / "paper" / FILE
    whole = f"what is written (default: {default.name} in the package, where nothing is left out)"
    parser.add_argument("--output", type=Path, help=whole)
    given = parser.parse_args()
    if given.output is None and (given.tasks, given.arms) == (TASKS, ARMS):
        given.output = default
    return given


def random_start(work):
    """The demo backbone as it was before its pretraining: the same recipe with no steps."""
    from compacter_cli.commands.pretrain import pretrain
    from compacter_cli.pretraining.preset import is_preset
    from compacter_cli.pretraining.recipe import load_pretraining

    place = work / "random"
    if not is_preset(place):
        recipe = load_pretraining("demo/pretrain", ["train.steps=0"])
        pretrain(recipe=recipe, directory=place, device="cpu", overwrite=True)


def run_all(runs, given):
    """Run what is not there yet, `given.jobs` at a time."""
    files = {result_file(given.work, *run): run for run in runs}
    # Recipes are read here, so that a wrong one is told before anything is trained.
    jobs = [(f, recipe_of(given.work, *run)) for f, run in files.items() if not f.exists()]
    context = multiprocessing.get_context("spawn")
    with context.Pool(given.jobs, start_worker, maxtasksperchild=25) as pool:
        for number, line in enumerate(pool.imap_unordered(run_one, jobs), 1):
            print(f"{number}/{len(jobs)}  {line}", flush=True)


def start_worker():
    from compacter_cli.t5.runtime import hide_tensorflow, start_keras

    hide_tensorflow()
    start_keras()
    import torch

    torch.set_num_threads(1)


def recipe_of(work, task, arm, rate, seed):
    settings = [f"train.learning_rate={rate}", f"seed={seed}", "train.score_before=false"]
    if arm == RANDOM:
        settings.append(f"backbone.preset={work / 'random'}")
    method = "compacterpp" if arm == RANDOM else arm
    return load_recipe(f"demo/{task.partition('/')[2]}_{method}", settings)


def run_one(job):
    """Train one run and keep its result; returns a line that says how it went."""
    from compacter_cli.training.run import train

    file, recipe = job
    directory = file.with_suffix("")
    try:
        result = train(recipe=recipe, directory=directory, device="cpu", overwrite=True)
        line = f"{result['test']['mean']:.2f} in {result['training_seconds']:.0f} s"
    except NotFiniteError as error:  # the rate is too large
        result, line = {"failed": str(error)}, f"failed: {error}"
    write_json(file, result)
    shutil.rmtree(directory)
    return f"{file.stem}: {line}"


def result_file(work, task, arm, rate, seed):
    name = f"{task.replace('/', '-')} {arm} {rate:g} {seed}.json".replace(", ", "-")
    return work / name.replace(" ", "_")


def read(work, task, arm, rate, seed):
    return json.loads(result_file(work, task, arm, rate, seed).read_text(encoding="utf-8"))


def best_rate(work, task, arm):
    """The rate of the best validation score; of equal ones the smallest."""
    tried = validation_by_rate(work, task, arm)
    return max(GRID, key=lambda rate: -1e9 if tried[rate] is None else tried[rate])


def validation_by_rate(work, task, arm):
    """Validation score of every rate with the first seed; `None` where training failed."""
    runs = {rate: read(work, task, arm, rate, SEEDS[0]) for rate in GRID}
    return {
        rate: None if "failed" in run else run["validation"]["mean"] for rate, run in runs.items()
    }


def summary(work, tasks, arms, best):
    """All cells as plain data: what the file holds."""
    machine = {**environment("cpu"), "threads": 1}  # of a run's process
    machine.pop("command")
    return {
        "written by": "benchmarks/demo_scores.py",
        "preset": DEMO_PRESET,
        "grid": GRID,
        "environment": machine,
        "tasks": {
            task: {arm: cell_of(work, task, arm, best[task, arm]) for arm in arms} for task in tasks
        },
    }


def cell_of(work, task, arm, rate):
    """What was measured at the chosen rate; seeds with which it failed are left out.

    Raises:
        CompacterError: it failed with every seed.
    """
    tried = [read(work, task, arm, rate, seed) for seed in SEEDS]
    runs = [run for run in tried if "failed" not in run]
    if not runs:
        raise CompacterError(f"{task}, {arm}: no rate of the grid trains it")
    tried = {f"{r:g}": mean for r, mean in validation_by_rate(work, task, arm).items()}
    return {
        "trained_parameters": runs[0]["trained_parameters"],
        "learning_rate": rate,
        "validation_by_rate": tried,
        "majority": runs[0]["test"]["majority"],
        "runs": [
            {
                "seed": run["seed"],
                "validation": run["validation"]["metrics"],
                "test": run["test"]["metrics"],
                "invalid": run["test"]["invalid"],
            }
            for run in runs
        ],
    }


def show(written):
    """Print the table: mean and deviation over seeds, and the share of full fine-tuning's gain."""
    titles = [task.partition("/")[2] for task in written["tasks"]]
    table = table_of("arm", "parameters", *titles, numbers=("parameters", *titles))
    cells = written["tasks"]
    for arm in next(iter(cells.values())):
        row = [cells[task][arm] for task in cells]
        texts = [text_of(cells[task][arm], cells[task].get("full")) for task in cells]
        table.add_row(arm, f"{row[0]['trained_parameters']:,}", *texts)
    console = Console(width=120, highlight=False)
    console.print(table)
    console.print("mean of the metrics over seeds, ± deviation, @rate, (share of full's gain)")


def text_of(cell, full):
    values = scores_of(cell)
    text = f"{fmean(values):.1f} ±{stdev(values):.1f} @{cell['learning_rate']:g}"
    if full is None:
        return text
    floor = fmean(cell["majority"].values())
    gain, whole = fmean(values) - floor, fmean(scores_of(full)) - floor
    return f"{text} ({gain / whole:.0%})" if whole else text


def scores_of(cell):
    return [fmean(run["test"].values()) for run in cell["runs"]]


if __name__ == "__main__":
    main()

"""The demo's rates and scores, out of its two sweeps into its recipes and the package.

    compacter sweep demo_search --workers 2
    python benchmarks/demo_scores.py rates runs/sweeps/demo_search
    compacter sweep demo --workers 2
    python benchmarks/demo_scores.py scores runs/sweeps/demo_search runs/sweeps/demo

`rates` writes the rate that the search chose for each method, the best mean validation over the
tasks, into its recipes (a rate for each task would hang on a single seed and 500 rows); `scores`
writes `compacter_cli/paper/demo_scores.json` and what was measured into each recipe's header.
"""

import argparse
import json
import re
from pathlib import Path
from statistics import fmean

from compacter_cli.errors import CompacterError
from compacter_cli.paper.demo_scores import FILE
from compacter_cli.reports.cells import comparison_of
from compacter_cli.sweeps.directory import read_sweep
from compacter_cli.t5.shapes import DEMO_PRESET
from compacter_cli.training.environment import ENVIRONMENT

ROOT = Path(__file__).parents[1]
RECIPES = ROOT / "recipes" / "demo"
SCORES = ROOT / "compacter_cli" / "paper" / FILE
RATE = "train.learning_rate"


def main():
    given = arguments()
    search = cells_of(given.search)
    if given.what == "rates":
        rates = rates_of(search)
        for task, arm in search:
            write_rate(task, arm, rates[arm])
    else:
        write_scores(search, cells_of(given.sweep), environment_of(given.sweep))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="what", required=True)
    for name, words in (("rates", "into the recipes"), ("scores", "into the package and recipes")):
        command = commands.add_parser(name, help=words)
        command.add_argument("search", type=Path, help="directory of the sweep demo_search")
        if name == "scores":
            command.add_argument("sweep", type=Path, help="directory of the sweep demo")
    return parser.parse_args()


def cells_of(directory):
    """`{(task, arm): cell}` of a sweep whose runs have all ended.

    Raises:
        CompacterError: some have not.
    """
    state = read_sweep(directory)
    waiting = [line["run"] for line in state.lines if line["state"] in ("waiting", "unfinished")]
    if waiting:
        raise CompacterError(f"{directory}: {len(waiting)} runs have not ended: run the sweep")
    cells = comparison_of(state.sweep, state.lines).cells.values()
    missing = [f"{cell.arm.name} on {cell.task}" for cell in cells if cell.chosen is None]
    if missing:
        raise CompacterError(f"{directory}: no run of {', '.join(missing)} has scores")
    return {(cell.task, cell.arm.name): cell for cell in cells}


def recipe_file(task, arm):
    """The recipe of an arm, `None` for the random start, which has none of its own."""
    path = RECIPES / f"{task.partition('/')[2]}_{arm}.toml"
    return path if path.is_file() else None


def rates_of(search):
    """The rate of each arm with the best mean validation over its tasks; the first of equals."""
    found = {}
    for (_, arm), cell in search.items():
        for one in cell.tried:
            found.setdefault(arm, {}).setdefault(one.setting[RATE], []).append(one.validation)
    means = {arm: {rate: fmean(v) for rate, v in of.items()} for arm, of in found.items()}
    return {arm: max(rates, key=rates.__getitem__) for arm, rates in means.items()}


def write_rate(task, arm, rate):
    """Write a rate into an arm's recipe, in the place of the one that stands there."""
    if path := recipe_file(task, arm):
        text = path.read_text(encoding="utf-8")
        changed, count = re.subn(r"(?m)^learning_rate = .*$", f"learning_rate = {rate}", text)
        if count != 1:
            raise CompacterError(f"{path}: expected one learning_rate, found {count}")
        path.write_text(changed, encoding="utf-8")


def write_scores(search, measured, environment):
    """Write the package's file of scores, and what was measured into every recipe's header."""
    tasks = {}
    for (task, arm), cell in measured.items():
        tasks.setdefault(task, {})[arm] = record = record_of(search[task, arm], cell)
        if path := recipe_file(task, arm):
            text = path.read_text(encoding="utf-8")
            header = f"# {header_of(record)}"
            path.write_text(re.sub(r"(?m)^# (Measured|Not measured).*$", header, text), "utf-8")
    written = {
        "written by": "benchmarks/demo_scores.py",
        "preset": DEMO_PRESET,
        "grid": search_grid(search),
        "environment": environment,
        "tasks": tasks,
    }
    SCORES.write_text(json.dumps(written, indent=1) + "\n", encoding="utf-8")


def search_grid(search):
    first = next(iter(search.values()))
    return [one.setting[RATE] for one in first.tried]


def record_of(searched, cell):
    """What the package keeps of a cell: see `compacter_cli.paper.demo_scores.Cell`."""
    lines = cell.chosen.finished
    return {
        "trained_parameters": lines[0]["trained_parameters"],
        "learning_rate": lines[0]["learning_rate"],
        "validation_by_rate": {f"{one.setting[RATE]:g}": one.validation for one in searched.tried},
        "majority": lines[0]["majority"],
        "runs": [
            {
                "seed": line["seed"],
                "validation": line["validation"],
                "test": line["test"],
                "invalid": line["invalid"],
            }
            for line in lines
        ],
    }


def header_of(record):
    runs = [run["test"] for run in record["runs"]]
    means = ", ".join(
        f"{NAMES.get(name, name)} {fmean(run[name] for run in runs):.2f}" for name in runs[0]
    )
    return f"Measured: test {means} (mean of {len(runs)} seeds, compacter sweep demo)."


NAMES = {"matthews": "Matthews", "pearson": "Pearson", "spearman": "Spearman"}


def environment_of(directory):
    """Versions and machine of the runs, their command left out."""
    line = read_sweep(directory).lines[0]
    found = json.loads((directory / line["run"] / ENVIRONMENT).read_text(encoding="utf-8"))
    return {key: value for key, value in found.items() if key not in ("command", "resumed")}


if __name__ == "__main__":
    main()

"""The demo's measured scores: which are quoted, and when none are."""

import json
from pathlib import Path
from statistics import fmean

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.paper import demo_scores as measured
from compacter_cli.paper.demo_scores import COMMAND, FILE, demo_scores, mean_scores, measured_scores
from compacter_cli.paper.tables import paper_tables
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.shipped import shipped_sweeps

# Three seeds: of two methods and the random start on one task, of no full fine-tuning on another.
FULL = [(94.0, 90.0), (95.0, 91.0), (93.0, 92.5)]
OWN = [(90.0, 88.0), (91.0, 89.0), (92.0, 87.0)]


def cell(scores):
    return {"runs": [{"seed": 42, "test": {"pearson": a, "spearman": b}} for a, b in scores]}


SCORES = {
    "tasks": {
        "demo/similarity": {
            "full": cell(FULL),
            "compacterpp": cell(OWN),
            "compacterpp, random weights": cell([(1.0, 1.0)] * 3),
        },
        "demo/sentiment": {"compacterpp": cell(OWN)},
    }
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The folder in which the file is looked for; empty."""
    monkeypatch.setattr(measured, "FOLDER", tmp_path)
    demo_scores.cache_clear()
    yield tmp_path
    demo_scores.cache_clear()


@pytest.fixture
def written(folder):
    (folder / FILE).write_text(json.dumps(SCORES), encoding="utf-8")
    return folder


def recipe(*overrides, task="demo/similarity"):
    return load_recipe(f"{task}_compacterpp", overrides)


def test_means_over_seeds_of_full_fine_tuning(written):
    assert demo_scores() == SCORES
    assert measured_scores(recipe()) == {
        "seeds": 3,
        "full": {"pearson": 94.0, "spearman": pytest.approx(273.5 / 3)},
    }


SEARCHED = json.loads(Path(__file__).with_name("searched_rates.json").read_text(encoding="utf-8"))[
    "validation"
]
MEASURED = [n for n in METHODS if all(n in cells for cells in demo_scores()["tasks"].values())]


def test_every_method_of_the_paper_was_searched_and_measured():
    assert paper_tables()["table1"].keys() <= SEARCHED.keys() & set(MEASURED)


@pytest.mark.parametrize("name", METHODS)
def test_the_rate_of_other_settings_than_the_papers_is_the_best_of_the_search(name):
    """The best mean of the validation scores over the tasks; of equal ones the smallest rate.

    Where the largest rate of the grid was best and the paper's is larger, the paper's stays.
    """
    if name not in SEARCHED:
        assert METHODS[name].searched_rate is None
        return
    tried = SEARCHED[name].values()
    rates = [*next(iter(tried))]
    means = {float(rate): fmean(scores[rate] or 0 for scores in tried) for rate in rates}
    best = max(sorted(means), key=means.__getitem__)
    beyond = best == max(means) and METHODS[name].learning_rate > best
    assert METHODS[name].searched_rate == (None if beyond else best)


@pytest.mark.parametrize("name", MEASURED)
def test_a_demo_recipe_has_the_rate_of_the_best_mean_over_its_tasks(name):
    tasks = demo_scores()["tasks"]
    tried = [cells[name]["validation_by_rate"] for cells in tasks.values()]
    means = {float(rate): fmean(scores[rate] for scores in tried) for rate in tried[0]}
    best = max(means, key=means.__getitem__)
    assert {cells[name]["learning_rate"] for cells in tasks.values()} == {best}


def test_means_of_any_cell(written):
    assert mean_scores(cell(OWN)) == {"pearson": 91.0, "spearman": 88.0}


def test_the_rate_and_the_seed_are_the_runs_own(written):
    assert measured_scores(recipe("train.learning_rate=0.1", "seed=7")) is not None


@pytest.mark.parametrize(
    "other",
    [
        "backbone.preset=t5_small_multi",
        "data.seed=7",
        "data.max_train_samples=100",
        "train.epochs=1",
    ],
)
def test_what_was_not_measured_is_not_quoted(written, other):
    assert measured_scores(recipe(other)) is None


# Of sentiment there is no full fine-tuning to stand beside.
@pytest.mark.parametrize("task", ["demo/smoke", "demo/sentiment"])
def test_other_tasks_are_not_quoted(written, task):
    assert measured_scores(recipe(task=task)) is None


def test_without_the_file_nothing_is_quoted(folder):
    assert demo_scores() == {}
    assert measured_scores(recipe()) is None


def test_the_file_is_read_once(written):
    first = demo_scores()
    (written / FILE).unlink()
    assert demo_scores() is first


def test_the_command_that_is_named_is_there_and_writes_the_file():
    assert COMMAND == "compacter sweep demo"
    assert "demo" in shipped_sweeps()
    script = Path(__file__).parents[2] / "benchmarks" / "demo_scores.py"
    assert "demo_scores import FILE" in script.read_text(encoding="utf-8")

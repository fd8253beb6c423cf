"""Every shipped recipe: it loads, is complete, and quotes the paper rightly.

A property is one test, over all recipes that must have it; what fails is named.
"""

import re
import tomllib
from pathlib import Path
from statistics import fmean

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.paper.demo_scores import demo_scores
from compacter_cli.paper.tables import paper_tables
from compacter_cli.pretraining.recipe import load_pretraining
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.shipped import outline_of, shipped_recipes
from compacter_cli.t5.shapes import DEMO_PRESET, shape_of
from compacter_cli.tasks import DEMO_TASKS, TASKS

ROOT = Path(__file__).parents[2] / "recipes"
FILES = {f"{path.parent.name}/{path.stem}": path for path in sorted(ROOT.rglob("*.toml"))
         if path.parent.name != "sweeps"}  # fmt: skip
COLUMNS = paper_tables()["columns"]
TABLES = {"glue": ("Table 1", "table1"), "super_glue": ("Table 2", "table2")}
IN_PAPER = tuple(paper_tables()["table1"])  # methods that have a row in both tables
# A method or task that is not in the paper may have recipes too, which stand in neither list.
PUBLISHED = [
    f"{folder}/{task}_{method}"
    for folder in TABLES
    for task in COLUMNS[folder]
    for method in IN_PAPER
]
DEMO = [f"{task.name}_{method}" for task in DEMO_TASKS for method in IN_PAPER]
PRETRAINING = ["demo/pretrain"]
TRAINING = [name for name in FILES if name not in PRETRAINING]
WORLD = [name for name in TRAINING if name.startswith(tuple(f"{t.name}_" for t in DEMO_TASKS))]
PAPER_TOTAL = 222_882_048  # what the paper's percentages are of

# as the paper trained
TRAIN = {"warmup_steps": 500, "clip_norm": 1.0, "dropout": 0.1}
OF_THREE_EPOCHS = {"sst2", "qqp", "mnli", "qnli", "record", "multirc"}
RATES = {
    **dict.fromkeys(("full", "adapter", "pfeiffer", "adapterdrop", "bitfit"), 3e-4),
    **dict.fromkeys(("lowrank", "phm", "compacter", "compacterpp"), 3e-3),
    **dict.fromkeys(("prompt_r", "said"), 3e-2),
    "prompt_t": 3e-1,
}
SETTINGS = {
    "full": {},
    "adapter": {"bottleneck": 24},
    "pfeiffer": {"bottleneck": 24},
    "adapterdrop": {"bottleneck": 24, "dropped_blocks": 5},
    "lowrank": {"bottleneck": 24, "rank": 1},
    "prompt_r": {"length": 100},
    "prompt_t": {"length": 100},
    "said": {"intrinsic_dim": 20_000},
    "bitfit": {},
    "phm": {"bottleneck": 24},
    "compacter": {"bottleneck": 24, "rank": 1},
    "compacterpp": {"bottleneck": 24, "rank": 1},
}
HALF_BATCHES = {"prompt_r", "prompt_t", "said"}  # 50 x 2 accumulated


def _text(name):
    return FILES[name].read_text(encoding="utf-8")


def _tables(name):
    return tomllib.loads(_text(name))


def _header(name):
    """The comment that a recipe opens with, as one line."""
    lines = _text(name).splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(" ".join(line.removeprefix("#").strip() for line in lines[:end]).split())


def _row(name):
    """The paper's row of a published recipe's method."""
    return paper_tables()[TABLES[name.partition("/")[0]][1]][_tables(name)["method"]["name"]]


def test_the_grid_of_the_papers_tables_is_complete():
    assert tuple(paper_tables()["table2"]) == IN_PAPER
    assert set(IN_PAPER) == set(SETTINGS) <= set(METHODS)
    assert len(set(PUBLISHED)) == 14 * 12
    assert set(PUBLISHED) <= set(FILES)
    assert set(FILES) == set(shipped_recipes())


def test_the_grid_of_the_demo_is_complete():
    assert len(set(DEMO)) == 4 * 12
    assert set(DEMO) <= set(WORLD)
    assert {"demo/pretrain", "demo/smoke_compacterpp"} <= set(FILES) - set(PUBLISHED) - set(WORLD)


def test_every_other_recipe_is_of_a_method_or_task_without_a_row_in_the_paper(every):
    published = {f"{folder}/{task}" for folder in TABLES for task in COLUMNS[folder]}

    def check(name):
        tables = _tables(name)
        assert tables["task"] not in published or tables["method"]["name"] not in IN_PAPER

    every(check, [name for name in TRAINING if name not in PUBLISHED])


def test_every_failing_recipe_is_named(every):
    def check(name):
        assert name not in ("glue/a", "glue/c")

    with pytest.raises(AssertionError, match="2 of 3 fail") as caught:
        every(check, ["glue/a", "glue/b", "glue/c"])
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines[1:]] == ["glue/a", "glue/c"]
    with pytest.raises(AssertionError, match="nothing to check"):
        every(check, [])


def test_it_loads_by_path_and_by_name(every, loaded):
    assert set(loaded) == set(FILES)

    def check(name):
        load = load_pretraining if name in PRETRAINING else load_recipe
        assert load(name) == loaded[name]

    every(check, FILES)


def test_its_name_is_its_task_and_method(every):
    def check(name):
        tables = _tables(name)
        assert f"{tables['task']}_{tables['method']['name']}" == name

    every(check, TRAINING)


def test_its_outline_is_what_it_holds(every):
    def check(name):
        tables = _tables(name)
        method = tables["method"]
        expected = (tables["task"], tables["backbone"]["preset"], method["name"], method.get("n"))
        assert outline_of(FILES[name]) == expected

    every(check, TRAINING)
    assert [outline_of(FILES[name]) for name in PRETRAINING] == [None]


def test_its_header_gives_the_command_that_runs_it(every):
    def check(name):
        command = "pretrain" if name in PRETRAINING else "train"
        assert f"compacter {command} --recipe {name}.toml" in _header(name)

    every(check, FILES)


def test_a_pretraining_gives_every_value_there_is(every, loaded):
    def check(name):
        assert _tables(name) == loaded[name].model_dump(mode="json", exclude_none=True)

    every(check, PRETRAINING)


def test_it_is_complete_with_everything_that_decides_the_run(every):
    def check(name):
        tables = _tables(name)
        assert {"task", "seed", "backbone", "method", "data", "train"} <= set(tables)
        assert {"preset", "precision"} <= set(tables["backbone"])
        assert {"seed", "source_length"} <= set(tables["data"])
        assert {*TRAIN, "epochs", "batch_size", "learning_rate"} <= set(tables["train"])
        assert {"name", *SETTINGS.get(tables["method"]["name"], {})} <= set(tables["method"])

    every(check, TRAINING)


def test_it_follows_the_papers_protocol(every):
    def check(name):
        tables = _tables(name)
        method = tables["method"].pop("name")
        assert (tables["seed"], tables["data"]["seed"]) == (42, 42)
        assert tables["data"]["source_length"] == 128
        assert tables["backbone"] == {"preset": "t5_base_multi", "precision": "float32"}
        train = tables["train"]
        assert {key: train[key] for key in TRAIN} == TRAIN
        assert train["epochs"] == (3 if TASKS[tables["task"]].paper in OF_THREE_EPOCHS else 20)
        halved = (50, 2) if method in HALF_BATCHES else (100, 1)
        assert (train["batch_size"], train.get("accumulate", 1)) == halved
        assert train["learning_rate"] == RATES[method]
        assert tables["method"].items() >= SETTINGS[method].items()
        assert tables["method"].get("gradient") == ("released" if method == "said" else None)

    every(check, PUBLISHED)


def test_its_header_quotes_the_papers_row_score_and_percentage(every, loaded):
    def check(name):
        header, recipe, row = _header(name), loaded[name], _row(name)
        printed, _ = TABLES[name.partition("/")[0]]
        scores = row["scores"][TASKS[recipe.task].paper]
        scores = scores if isinstance(scores, list) else [scores]
        quoted = re.search(r'row "([^"]+)"', header).group(1)
        division = f" (n={row['n']})" if "n" in row else ""
        assert printed in header
        assert quoted == f"{METHODS[recipe.method.name].title}{division}"
        for metric, score in zip(TASKS[recipe.task].metrics, scores, strict=True):
            assert f"{metric} {score:.2f}" in header
        assert "on T5-base" in header
        assert f"{row['trained_percent']:g} % of its parameters" in header

    every(check, PUBLISHED)


def test_it_trains_the_share_that_the_paper_prints(every, loaded):
    def check(name):
        recipe, row = loaded[name], _row(name)
        assert row.get("n") == getattr(recipe.method, "n", None)
        if recipe.method.name != "full":
            trained = sum(recipe.method.count(shape_of(recipe.backbone.preset)).values())
            share = 100 * trained / PAPER_TOTAL
            # Rounded to three decimals; the shares of the prompts are cut to as many.
            assert share == pytest.approx(row["trained_percent"], abs=5e-4)

    every(check, PUBLISHED)


def test_a_demo_gives_every_key_of_its_method_and_run(every):
    def check(name):
        tables = _tables(name)
        assert set(tables) == {"task", "seed", "backbone", "method", "data", "train"}
        assert tables["backbone"] == {"preset": DEMO_PRESET, "precision": "float32"}
        assert (tables["seed"], tables["data"]["seed"]) == (42, 42)
        assert set(tables["data"]) == {"seed", "source_length"}
        assert set(tables["train"]) == {
            *TRAIN, "epochs", "batch_size", "eval_batch_size", "learning_rate", "score_before"
        }  # fmt: skip
        method = tables["method"].pop("name")
        hypercomplex = {"n"} if method in ("phm", "compacter", "compacterpp") else set()
        if method in SETTINGS:
            assert set(tables["method"]) == {*SETTINGS[method]} | hypercomplex

    every(check, WORLD)


def test_all_methods_of_a_demo_task_run_alike_but_for_the_rate(every):
    def check(task):
        tables = [_tables(name) for name in WORLD if _tables(name)["task"] == task]
        for each in tables:
            del each["method"], each["train"]["learning_rate"]
        assert len(tables) >= 12
        assert all(each == tables[0] for each in tables)
        assert tables[0]["train"]["score_before"] is True

    every(check, [task.name for task in DEMO_TASKS])


def _measured(cells, task, method):
    """(what the header must say, rate that was chosen or `None`), by the cells of a task."""
    cell = cells.get(task, {}).get(method)
    if cell is None:
        return "Not measured yet.", None
    runs = [run["test"] for run in cell["runs"]]
    means = ", ".join(f"{name} {fmean(run[name] for run in runs):.2f}" for name in runs[0])
    said = f"Measured: test {means} (mean of {len(runs)} seeds, compacter sweep demo)."
    return said, cell["learning_rate"]


def test_what_a_header_must_say_of_given_scores():
    tests = [{"pearson": 90.0, "spearman": 80.0}, {"pearson": 91.0, "spearman": 80.5}]
    tests.append({"pearson": 92.51, "spearman": 80.0})
    cell = {"learning_rate": 0.004, "runs": [{"test": test} for test in tests]}
    cells = {"demo/similarity": {"full": cell}}
    # 273.51 / 3 and 240.5 / 3
    words = "Measured: test pearson 91.17, spearman 80.17 (mean of 3 seeds, "
    said, rate = _measured(cells, "demo/similarity", "full")
    assert (said.startswith(words), rate) == (True, 0.004)
    for missing in (("demo/similarity", "said"), ("demo/sentiment", "full")):
        assert _measured(cells, *missing) == ("Not measured yet.", None)
    assert _measured({}, "demo/similarity", "full") == ("Not measured yet.", None)


def test_a_demo_says_what_was_measured_and_takes_the_rate_that_was_chosen(every):
    cells = demo_scores().get("tasks", {})

    def check(name):
        tables = _tables(name)
        said, rate = _measured(cells, tables["task"], tables["method"]["name"])
        lines = [line for line in _text(name).splitlines() if "easured" in line]
        assert [line.lower() for line in lines] == [f"# {said}".lower()]
        assert rate in (None, tables["train"]["learning_rate"])

    every(check, WORLD)


def test_it_is_written_for_people(every):
    def check(name):
        text = _text(name)
        assert text.endswith("\n")
        assert "\t" not in text
        assert all(len(line) <= 100 for line in text.splitlines())

    every(check, FILES)


def test_what_is_not_in_the_paper_says_that_it_reproduces_nothing(every):
    def check(name):
        assert "No row of the paper" in _header(name)

    every(check, [name for name in FILES if name not in PUBLISHED])

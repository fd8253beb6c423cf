"""Every shipped recipe: it loads, is complete, and quotes the paper rightly."""

import re
import tomllib
from pathlib import Path
from statistics import fmean

import pytest

from compacter_cli.methods import METHODS
from compacter_cli.paper.demo_scores import demo_scores
from compacter_cli.paper.tables import paper_tables
from compacter_cli.pretraining.recipe import load_any, load_pretraining
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.recipe.shipped import shipped_recipes
from compacter_cli.t5.shapes import DEMO_PRESET
from compacter_cli.tasks import DEMO_TASKS, TASKS

ROOT = Path(__file__).parents[2] / "recipes"
FILES = sorted(ROOT.rglob("*.toml"))
PRETRAINING = [ROOT / "demo" / "pretrain.toml"]
TRAINING = [path for path in FILES if path not in PRETRAINING]
PUBLISHED = [path for path in FILES if path.parent.name != "demo"]
WORLD = [path for path in TRAINING if path.parent.name == "demo" and "smoke" not in path.stem]
PAPER_TOTAL = 222_882_048  # what the paper's percentages are of
COLUMNS = paper_tables()["columns"]
TABLES = {"glue": ("Table 1", "table1"), "super_glue": ("Table 2", "table2")}

# protocol.md, "Training"
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


def _name(path):
    return f"{path.parent.name}/{path.stem}"


def _tables(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _header(path):
    """The comment that a recipe opens with, as one line."""
    lines = path.read_text(encoding="utf-8").splitlines()
    end = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    return " ".join(" ".join(line.removeprefix("#").strip() for line in lines[:end]).split())


def test_the_grid_of_the_papers_tables_is_complete():
    columns = {f"{folder}/{task}" for folder in ("glue", "super_glue") for task in COLUMNS[folder]}
    grid = {f"{task}_{method}" for task in columns for method in METHODS}
    assert len(grid) == 14 * 12
    assert {_name(path) for path in PUBLISHED} == grid
    assert {_name(path) for path in FILES} == set(shipped_recipes())


def test_the_grid_of_the_demo_is_complete():
    grid = {f"{task.name}_{method}" for task in DEMO_TASKS for method in METHODS}
    assert len(grid) == 4 * 12
    assert {_name(path) for path in WORLD} == grid
    rest = {_name(path) for path in {*FILES} - {*PUBLISHED} - {*WORLD}}
    assert rest == {"demo/pretrain", "demo/smoke_compacterpp"}


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_it_loads_by_path_and_by_name(path):
    assert load_any(str(path)) == load_any(_name(path))


@pytest.mark.parametrize("path", TRAINING, ids=_name)
def test_its_name_is_its_task_and_method(path):
    tables = _tables(path)
    assert f"{tables['task']}_{tables['method']['name']}" == _name(path)


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_its_header_gives_the_command_that_runs_it(path):
    command = "pretrain" if path in PRETRAINING else "train"
    assert f"compacter {command} --recipe {_name(path)}.toml" in _header(path)


@pytest.mark.parametrize("path", PRETRAINING, ids=_name)
def test_a_pretraining_gives_every_value_there_is(path):
    sections = load_pretraining(str(path)).model_dump(mode="json", exclude_none=True)
    assert _tables(path) == sections


@pytest.mark.parametrize("path", TRAINING, ids=_name)
def test_it_is_complete_with_everything_that_decides_the_run(path):
    tables = _tables(path)
    assert {"task", "seed", "backbone", "method", "data", "train"} <= set(tables)
    assert {"preset", "precision"} <= set(tables["backbone"])
    assert {"seed", "source_length"} <= set(tables["data"])
    assert {*TRAIN, "epochs", "batch_size", "learning_rate"} <= set(tables["train"])
    assert {"name", *SETTINGS.get(tables["method"]["name"], {})} <= set(tables["method"])


@pytest.mark.parametrize("path", PUBLISHED, ids=_name)
def test_it_follows_the_papers_protocol(path):
    tables = _tables(path)
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
    assert tables["method"].items() >= SETTINGS.get(method, {}).items()


@pytest.mark.parametrize("path", PUBLISHED, ids=_name)
def test_its_header_quotes_the_papers_row_score_and_percentage(path):
    header, recipe = _header(path), load_recipe(str(path))
    printed, table = TABLES[path.parent.name]
    row = paper_tables()[table][recipe.method.name]
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


@pytest.mark.parametrize("path", PUBLISHED, ids=_name)
def test_it_trains_the_share_that_the_paper_prints(path):
    from compacter_cli.t5.shapes import shape_of

    recipe = load_recipe(str(path))
    row = paper_tables()[TABLES[path.parent.name][1]][recipe.method.name]
    assert row.get("n") == getattr(recipe.method, "n", None)
    if recipe.method.name != "full":
        trained = sum(recipe.method.count(shape_of(recipe.backbone.preset)).values())
        # The paper rounds to three decimals, but cuts BitFit's 0.1267.
        slack = 1e-3 if recipe.method.name == "bitfit" else 5e-4
        assert 100 * trained / PAPER_TOTAL == pytest.approx(row["trained_percent"], abs=slack)


@pytest.mark.parametrize("path", WORLD, ids=_name)
def test_a_demo_gives_every_key_of_its_method_and_run(path):
    tables = _tables(path)
    assert set(tables) == {"task", "seed", "backbone", "method", "data", "train"}
    assert tables["backbone"] == {"preset": DEMO_PRESET, "precision": "float32"}
    assert (tables["seed"], tables["data"]["seed"]) == (42, 42)
    assert set(tables["data"]) == {"seed", "source_length"}
    assert set(tables["train"]) == {
        *TRAIN, "epochs", "batch_size", "eval_batch_size", "learning_rate", "score_before"
    }  # fmt: skip
    method = tables["method"].pop("name")
    hypercomplex = {"n"} if method in ("phm", "compacter", "compacterpp") else set()
    assert set(tables["method"]) == {*SETTINGS[method]} | hypercomplex


@pytest.mark.parametrize("task", DEMO_TASKS, ids=lambda task: task.name)
def test_all_methods_of_a_demo_task_run_alike_but_for_the_rate(task):
    tables = [_tables(path) for path in WORLD if _tables(path)["task"] == task.name]
    for each in tables:
        del each["method"], each["train"]["learning_rate"]
    assert len(tables) == 12
    assert all(each == tables[0] for each in tables)
    assert tables[0]["train"]["score_before"] is True


def _measured(cells, task, method):
    """(what the header must say, rate that was chosen or `None`), by the cells of a task."""
    cell = cells.get(task, {}).get(method)
    if cell is None:
        return "Not measured yet.", None
    runs = [run["test"] for run in cell["runs"]]
    means = ", ".join(f"{name} {fmean(run[name] for run in runs):.2f}" for name in runs[0])
    said = f"Measured: test {means} (mean of {len(runs)} seeds, benchmarks/demo_scores.py)."
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


@pytest.mark.parametrize("path", WORLD, ids=_name)
def test_a_demo_says_what_was_measured_and_takes_the_rate_that_was_chosen(path):
    tables = _tables(path)
    cells = demo_scores().get("tasks", {})
    said, rate = _measured(cells, tables["task"], tables["method"]["name"])
    lines = [line for line in path.read_text().splitlines() if "easured" in line]
    assert [line.lower() for line in lines] == [f"# {said}".lower()]
    assert rate in (None, tables["train"]["learning_rate"])


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_it_is_written_for_people(path):
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert "\t" not in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_a_demo_says_that_it_reproduces_nothing():
    for path in set(FILES) - set(PUBLISHED):
        assert "No row of the paper" in _header(path)

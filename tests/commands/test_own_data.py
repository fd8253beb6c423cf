"""Own data from recipe to answers: checked, trained, evaluated, answered, on a tiny T5."""

import json

import pytest
import tomli_w
from typer.testing import CliRunner

from compacter_cli.errors import RecipeError
from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe, recipe_of
from compacter_cli.tasks import TASKS, task_of

SMOKE = TASKS["demo/smoke"]  # its words are those that the tiny T5 knows
TABLES = {
    "task": "jsonl",
    "backbone": {"preset": "random/tiny"},
    "method": {"name": "compacterpp"},
    "data": {
        "train": "train.jsonl",
        "source": "sentence: {words}",
        "target": "{kind}",
        "labels": ["0", "1"],
        "metrics": ["accuracy", "f1"],
        "source_length": 32,
    },
    "train": {"epochs": 1, "batch_size": 20, "warmup_steps": 3},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory, with a file of 120 rows."""
    monkeypatch.chdir(tmp_path)
    rows = SMOKE.generate()["train"][:120]
    lines = [json.dumps({"words": row["sentence"], "kind": row["label"]}) for row in rows]
    (tmp_path / "train.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def recipe_with(place, **data):
    """Writes the recipe with changes to [data]; a value of `None` takes the key out."""
    merged = {k: v for k, v in {**TABLES["data"], **data}.items() if v is not None}
    path = place / "mine.toml"
    path.write_text(tomli_w.dumps({**TABLES, "data": merged}), encoding="utf-8")
    return path


DRY = ("--dry-run", "--no-estimate")


def call(*args):
    return CliRunner().invoke(app, list(map(str, args)))


def test_labels_from_training_to_answers(keras, folder):
    recipe, run = recipe_with(folder), folder / "run"
    trained = call("train", "--recipe", recipe, "--device", "cpu", "--output", run, "--json")
    assert trained.exit_code == 0, trained.output
    result = json.loads(trained.stdout)
    # A tenth of 120 rows is held out, and halved.
    assert (result["validation"]["count"], result["test"]["count"]) == (6, 6)
    assert set(result["test"]["metrics"]) == {"accuracy", "f1"} == set(result["test"]["majority"])
    assert result["paper"] is None
    assert 0 <= result["test"]["invalid"] <= 6
    scored = call("evaluate", "--run", run, "--device", "cpu")
    assert "the same, to every digit, as the run recorded" in scored.stdout
    (folder / "new.csv").write_text("words\niron zinc apple\n", encoding="utf-8")
    answered = call("predict", "--run", run, "--file", folder / "new.csv", "--json")
    (answer,) = json.loads(answered.stdout)
    assert answer["text"] == "sentence: iron zinc apple"
    assert sum(answer["probabilities"].values()) == pytest.approx(1)
    assert set(answer["probabilities"]) == {"0", "1"}
    again = load_recipe(str(run / "recipe.toml"))
    assert again.plain()["data"]["train"] == str(folder / "train.jsonl")


def test_data_that_changed_since_the_training_is_noted(keras, folder):
    recipe, run = recipe_with(folder), folder / "run"
    call("train", "--recipe", recipe, "--device", "cpu", "--output", run, "--json")
    path = folder / "train.jsonl"
    path.write_text(path.read_text().partition("\n")[2])
    scored = call("evaluate", "--run", run, "--device", "cpu")
    assert scored.exit_code == 0, scored.output
    assert "the data is not what the run was trained on" in scored.stderr


def test_free_text_is_scored_by_overlap(keras, folder):
    metrics = ["exact_match", "token_f1", "rouge_l"]
    recipe = recipe_with(folder, labels=None, target="{words}", metrics=metrics)
    trained = call("train", "--recipe", recipe, "--device", "cpu", "--output", "run", "--json")
    assert trained.exit_code == 0, trained.output
    scores = json.loads(trained.stdout)["test"]
    assert list(scores["metrics"]) == metrics
    assert scores["invalid"] == 0
    scored = call("evaluate", "--run", "run", "--device", "cpu", "--json")
    assert json.loads(scored.stdout)["metrics"] == scores["metrics"]
    answered = call("predict", "--run", "run", "--split", "validation", "--json")
    found = json.loads(answered.stdout)
    words = {row["sentence"] for row in SMOKE.generate()["train"][:120]}
    assert len(found) == json.loads(trained.stdout)["validation"]["count"]
    for item in found:
        assert item["probabilities"] is None
        assert item["right"] == [item["text"].removeprefix("sentence: ")]
        assert item["right"][0] in words


def test_a_runs_recipe_can_be_run_again_from_elsewhere(keras, folder, monkeypatch):
    recipe, runs = recipe_with(folder), (folder / "one", folder / "two")
    first = call("train", "--recipe", recipe, "--device", "cpu", "--output", runs[0], "--json")
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    again = call(
        "train", "--recipe", runs[0] / "recipe.toml", "--device", "cpu", "--output", runs[1],
        "--json",
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["test"] == json.loads(first.stdout)["test"]
    adapters = [(run / "best" / "adapter.safetensors").read_bytes() for run in runs]
    assert adapters[0] == adapters[1]
    assert (runs[0] / "recipe.toml").read_bytes() == (runs[1] / "recipe.toml").read_bytes()


def test_a_dry_run_reads_the_rows_and_names_the_line_of_a_wrong_one(folder):
    plan = call("train", "--recipe", recipe_with(folder), *DRY)
    assert "108 train, 6 validation, 6 test rows" in plan.stdout
    with open(folder / "train.jsonl", "a") as file:
        file.write('{"words": "iron", "kind": 7}\n')
    wrong = call("train", "--recipe", recipe_with(folder), *DRY)
    assert wrong.exit_code == 1
    assert "train.jsonl, line 121" in wrong.stderr


def test_a_missing_file_exits_3(folder):
    result = call("train", "--recipe", recipe_with(folder, test="no.jsonl"), *DRY)
    assert result.exit_code == 3
    assert "data.test: there is no file" in result.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"source": "no column"}, "names no column"),
        ({"source": "{words"}, "data.source"),
        ({"source": "{words.upper}{}"}, "write a column's name between braces"),
        ({"labels": ["0", "0"]}, "a label is there twice"),
        ({"labels": ["only"]}, "data.labels"),
        ({"metrics": ["acuracy"]}, 'unknown metric "acuracy"'),
        ({"metrics": ["rouge_l"]}, 'unknown metric "rouge_l"'),
        ({"labels": ["0", "1", "2"]}, "f1 needs two labels"),
        ({"labels": ["a", "b"], "metrics": ["pearson"]}, "labels that are numbers"),
        ({"folder": "x"}, "unknown key of [data] (it is for published tasks"),
        ({"train": None, "source": None}, "data.train: missing"),
        ({"labels": ["0", "1"], "target_length": 1}, "data.target_length"),
    ],
)
def test_what_does_not_fit_is_said_by_its_key(folder, changes, said):
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(recipe_with(folder, **changes)))
    assert said in str(caught.value)


def test_a_published_task_takes_no_files_of_ones_own():
    tables = {**TABLES, "task": "glue/rte", "data": {"train": "x.jsonl"}}
    with pytest.raises(RecipeError, match=r"data\.train: unknown key .*jsonl, csv, tsv"):
        recipe_of(tables, "here")


def test_an_unknown_task_is_the_one_problem():
    with pytest.raises(RecipeError) as caught:
        recipe_of({**TABLES, "task": "xml"}, "here")
    assert [problem.key for problem in caught.value.problems] == ["task"]


def test_the_task_is_that_of_the_section(folder):
    task = task_of(load_recipe(str(recipe_with(folder, metrics=None))))
    assert (task.name, task.fields, task.metrics) == ("jsonl", ("words",), ("accuracy",))
    assert task.targets == ("0", "1")
    assert task.prefix == ""

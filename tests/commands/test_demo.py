"""`compacter demo`: the whole story, on a made-up task and a tiny T5."""

import errno
import json
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from compacter_cli.commands import demo
from compacter_cli.commands.demo import demo_recipes, show, tell
from compacter_cli.errors import UsageError
from compacter_cli.main import app
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.tasks import TASKS

SMOKE = TASKS["demo/smoke"]
SMALL = ("train.epochs=1", "train.warmup_steps=2", "train.score_before=true",
         "data.max_train_samples=200")  # fmt: skip


def small_recipes():
    """The story's two methods, a short training each."""
    full = ["method={name='full'}", "train.learning_rate=1e-3"]
    sets = {"compacterpp": SMALL, "full": (*SMALL, *full)}
    return {method: load_recipe("demo/smoke_compacterpp", given) for method, given in sets.items()}


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Short runs, without the collection of garbage, longer than their epochs."""
    monkeypatch.setattr(demo, "demo_recipes", small_recipes)
    monkeypatch.setattr("gc.collect", lambda: 0)


@pytest.fixture
def untrained(monkeypatch):
    """Fails a test that goes on to train."""
    monkeypatch.setattr(demo, "train", lambda **_: pytest.fail("went on to train"))


def call(*args):
    return CliRunner().invoke(app, ["demo", "--device", "cpu", *map(str, args)])


@pytest.fixture(scope="module")
def story(keras, tmp_path_factory):
    """(folder, what the command did) of a whole story. Do not change it."""
    folder = tmp_path_factory.mktemp("demo") / "my story"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "demo_recipes", small_recipes)
        patch.setattr("gc.collect", lambda: 0)
        result = call("--output", folder)
    assert result.exit_code == 0, result.output
    return folder, result


def result_of(folder, method):
    return json.loads((folder / method / "result.json").read_text())


def assert_refused(result, words):
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert words in line


# What it shows.


def test_scores_stand_as_bars_beside_each_other(story):
    folder, result = story
    small, full = (result_of(folder, method) for method in ("compacterpp", "full"))
    lines = result.stdout.splitlines()
    begin = lines.index("demo/smoke: test accuracy, 100 examples") + 2
    shown = {line[:16].strip(): float(line.split()[-1]) for line in lines[begin : begin + 4]}
    assert shown == {
        "untrained": small["before"]["metrics"]["accuracy"],
        "majority class": 54.0,
        "Compacter++": small["test"]["metrics"]["accuracy"],
        "full fine-tuning": full["test"]["metrics"]["accuracy"],
    }
    assert lines[begin + 1].count("█") == 22  # 54 % of 40


def test_each_method_says_what_it_trained_and_wrote(story):
    lines = [" ".join(line.split()) for line in story[1].stdout.splitlines()]
    small, full = (result_of(story[0], method) for method in ("compacterpp", "full"))
    # By hand: 704 adapter weights, 64 of A, 352 biases, 768 of norms; of 173,056 in all.
    sizes = [f"{result['adapter_bytes'] / 1e3:.2f} kB" for result in (small, full)]
    for start in (
        f"Compacter++ trains 1,888 parameters (1.09 %), writes {sizes[0]}, ",
        f"full fine-tuning trains 173,056 parameters (100.00 %), writes {sizes[1]}, ",
    ):
        assert any(line.startswith(start) for line in lines), start


def test_three_answers_are_those_of_the_adapter_it_wrote(story):
    folder, result = story
    rows = SMOKE.split.apply(SMOKE.generate(), 42)["test"][:3]
    texts = [f"sentence: {row['sentence']}" for row in rows]
    words = [part for text in texts for part in ("--text", text)]
    predict = ["predict", "--run", str(folder / "compacterpp"), "--device", "cpu", "--json", *words]
    answers = [item["prediction"] for item in json.loads(CliRunner().invoke(app, predict).stdout)]
    right = [("metals only", "a fruit")[row["label"]] for row in rows]
    shown = result.stdout.partition("Compacter++ answers:\n")[2].splitlines()[:6]
    for number, (text, answer, truth) in enumerate(zip(texts, answers, right, strict=True)):
        verdict = "right" if answer == truth else f"wrong, it is {truth}"
        assert shown[2 * number].strip() == text
        assert shown[2 * number + 1].strip() == f"-> {answer} ({verdict})"


def test_the_next_command_takes_a_folder_with_a_space(story):
    last = story[1].stdout.splitlines()[-1]
    assert last.startswith(f"next: compacter predict --run '{story[0] / 'compacterpp'}' --text ")


def test_its_sentences_are_of_the_demo_world():
    from compacter_cli.world.lexicon import nouns

    words = {noun.word for noun in nouns()}
    assert {"dog", "poodle"} <= words


def test_progress_goes_to_stderr(story):
    shown = story[1].stderr
    assert shown.startswith("loading torch and keras ...")
    assert "Compacter++ on demo/smoke, random/tiny" in shown
    assert shown.count("epoch 1: loss") == 2


def told(answers):
    """A made-up story."""
    result = {
        "task": "demo/smoke", "run": "runs/x", "training_seconds": 12.4,
        "trained_parameters": 1_888, "trained_percent": 1.091, "adapter_bytes": 11_056,
        "before": {"metrics": {"accuracy": 0.0}},
        "test": {"metrics": {"accuracy": 50.0}, "majority": {"accuracy": 54.0}, "count": 100},
    }  # fmt: skip
    return {"compacterpp": result, "full": {**result, "trained_percent": 100.0}, "answers": answers}


def test_a_wrong_answer_names_the_right_one(capsys):
    rows = [
        {"text": "sentence: [bold]zinc", "answer": "a fruit", "right": "metals only"},
        {"text": "sentence: mango", "answer": "a fruit", "right": "a fruit"},
    ]
    show(told(rows))
    shown = capsys.readouterr().out
    assert "  sentence: [bold]zinc\n    -> a fruit (wrong, it is metals only)\n" in shown
    assert "  sentence: mango\n    -> a fruit (right)\n" in shown
    assert (
        "Compacter++       trains     1,888 parameters (1.09 %), writes 11.06 kB, 12 s\n" in shown
    )


# Machines, and what is there already.


def test_json_is_the_whole_of_stdout_and_overwrite_replaces_both_runs(story, tmp_path):
    folder = shutil.copytree(story[0], tmp_path / "again")
    for method in ("compacterpp", "full"):
        (folder / method / "last" / "old.txt").write_text("of the old one")
    result = call("--output", folder, "--overwrite", "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found = json.loads(result.stdout)
    assert list(found) == ["compacterpp", "full", "answers"]
    for method in ("compacterpp", "full"):
        assert found[method] == result_of(folder, method)
        before = result_of(story[0], method)
        assert found[method]["test"] == before["test"]  # the same run again
        assert found[method]["before"] == before["before"]
        assert not (folder / method / "last" / "old.txt").exists()
    assert [set(row) for row in found["answers"]] == [{"text", "answer", "right"}] * 3


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize("method", ["compacterpp", "full"])
def test_a_run_that_is_there_is_refused_before_anything_is_trained(story, tmp_path, method):
    shutil.copytree(story[0] / method, tmp_path / method)
    result = call("--output", tmp_path)
    assert_refused(result, f"{tmp_path} holds a demo already (unfinished)")
    assert "--overwrite" in result.stderr
    assert "--seed" not in result.stderr  # it has no such option
    assert [path.name for path in tmp_path.iterdir()] == [method]
    with pytest.raises(UsageError, match="holds a demo already"):
        tell(recipes=small_recipes(), directory=tmp_path)


@pytest.mark.usefixtures("untrained")
def test_what_is_no_run_is_never_overwritten(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert_refused(call("--output", tmp_path, "--overwrite"), "is not a run")
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "thesis.txt"]


def test_an_interrupted_story_names_the_command_that_goes_on_with_both_runs(
    story, tmp_path, monkeypatch
):
    folder = tmp_path / "my story"
    shutil.copytree(story[0] / "compacterpp", folder / "compacterpp")
    whole, going_on = demo.train, []

    def interrupted(**asked):
        if asked["recipe"].method.name == "full":
            raise KeyboardInterrupt
        going_on.append(asked["resume"])
        return whole(**asked)

    with monkeypatch.context() as patch:
        patch.setattr(demo, "train", interrupted)
        result = call("--output", folder, "--resume")
    assert (result.exit_code, going_on) == (130, [True])
    command = f"compacter demo --output '{folder}' --device cpu --resume"
    assert result.stderr.splitlines()[-1] == f"interrupted amid the two runs; go on with: {command}"
    refused = call("--output", folder)  # by one who has not kept that line
    assert_refused(refused, f"{folder} holds a demo already (unfinished)")
    assert "next: give --resume to go on with it, " in refused.stderr
    result = CliRunner().invoke(app, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert result.stderr.count("epoch 1: loss") == 1  # the first run was finished
    assert "Compacter++ answers:" in result.stdout
    assert call("--output", folder, "--resume", "--overwrite").exit_code == 2


def test_a_run_that_ends_early_names_the_command_that_goes_on_with_both(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    command = f"compacter demo --output {tmp_path / 'story'} --device cpu --resume"
    monkeypatch.setattr("compacter_cli.training.checkpoints.write_whole", full)
    result = call("--output", tmp_path / "story")
    assert result.exit_code == 1, result.output
    assert f", then: {command}; the state saved before" in result.stderr.splitlines()[-1]


def test_a_finished_story_is_not_gone_on_with_by_another_one(story):
    result = call("--output", story[0])
    assert_refused(result, f"{story[0] / 'compacterpp'} holds a run already (finished)")
    assert "--resume" not in result.stderr


# The story as shipped.


def test_the_shipped_story_is_one_task_one_backbone_and_one_seed():
    small, full = demo_recipes().values()
    assert (small.method.name, full.method.name) == ("compacterpp", "full")
    assert small.task == full.task == "demo/entailment"
    assert small.backbone == full.backbone
    assert small.backbone.preset == "demo/t5"
    assert small.seed == full.seed
    assert (small.data.prefix, full.data.prefix) == (None, "entailment")  # the method's affair
    assert small.data == full.data.model_copy(update={"prefix": None})
    assert small.train.score_before
    assert len(TASKS[small.task].metrics) == 1  # what the bars are of


def test_its_folder_is_below_runs():
    result = CliRunner().invoke(app, ["demo", "--help"])
    assert str(Path("runs") / "demo" / "story") in result.output

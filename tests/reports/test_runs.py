"""Runs as a report sees them: whole, unfinished, damaged, or none at all."""

import json
import shlex
import shutil

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.reports.runs import view_run


def test_a_finished_run_is_read_whole(make_run):
    run = view_run(make_run())
    assert (run.task, run.method, run.problems) == ("glue/rte", "compacterpp", ())
    assert run.result["test"]["metrics"] == {"accuracy": 60.0}
    assert (len(run.updates), len(run.epochs)) == (40, 1)
    assert run.recipe["train"] == {"epochs": 8}


def test_an_unfinished_run_says_how_far_it_is_and_how_it_goes_on(make_run):
    run = view_run(make_run(finished=False))
    assert run.result is None
    assert (run.task, run.method) == ("glue/rte", "compacterpp")
    (problem,) = run.problems
    assert "is unfinished: 1 of 8 epochs so far" in problem
    assert "--resume" in problem


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", "{}", '{"task": "glue/rte"}', "\0", '{"test": {"metrics": 3}}', "NaN"],
)
def test_a_damaged_result_is_a_sentence(make_run, text):
    directory = make_run()
    (directory / "result.json").write_text(text)
    run = view_run(directory)
    assert run.result is None
    (problem,) = run.problems
    assert "result.json is damaged" in problem


@pytest.mark.parametrize(
    ("key", "value"), [("seed", "x"), ("test", {}), ("test", None), ("epochs", True), ("task", 3)]
)
def test_a_result_without_what_is_shown_is_damaged(make_run, key, value):
    directory = make_run(**{key: value})
    assert view_run(directory).result is None
    assert "is damaged" in view_run(directory).problems[0]


def test_damaged_lines_of_metrics_are_left_out_and_counted(make_run):
    directory = make_run()
    with open(directory / "metrics.jsonl", "a") as file:
        file.write('{"kind": "update", "step": 41}\n{"kind": "upd\n[]\n')
        file.write(json.dumps({"kind": "epoch", "validation": "none"}) + "\n")
    run = view_run(directory)
    assert (len(run.updates), len(run.epochs)) == (40, 1)
    assert run.problems == (f"{directory / 'metrics.jsonl'}: 4 damaged lines left out",)


def test_one_of_a_kind_is_told_so(make_run):
    directory = make_run(finished=False)
    recipe = directory / "recipe.toml"
    recipe.write_text(recipe.read_text().replace("epochs = 8", "epochs = 1"))
    with open(directory / "metrics.jsonl", "a") as file:
        file.write("[]\n")
    unfinished, damaged = view_run(directory).problems
    assert "is unfinished: 1 of 1 epoch so far" in unfinished
    assert damaged.endswith(": 1 damaged line left out")


def test_a_missing_part_leaves_the_rest(make_run):
    directory = make_run()
    (directory / "recipe.toml").unlink()
    (directory / "metrics.jsonl").unlink()
    run = view_run(directory)
    assert run.task == "glue/rte"
    assert (run.recipe, run.updates) == ({}, ())
    assert run.problems == (f"{directory / 'recipe.toml'} is not there",)


def test_an_unfinished_run_goes_on_by_a_command_that_a_shell_takes(make_run):
    directory = make_run("my run", finished=False)
    (problem,) = view_run(directory).problems
    begin, _, command = problem.partition("; go on with ")
    assert begin.startswith(f"{directory} is unfinished")
    assert shlex.split(command) == [
        "compacter", "train", "--recipe", f"{directory}/recipe.toml", "--output", str(directory),
        "--resume",
    ]  # fmt: skip


def test_what_has_an_adapter_alone_as_convert_writes_it_is_not_gone_on_with(make_run):
    directory = make_run(finished=False)
    (directory / "recipe.toml").unlink()
    problems = view_run(directory).problems
    assert f"{directory} has no result: no scores are known but those of evaluate" in problems
    assert "--resume" not in " ".join(problems)


def test_a_damaged_recipe_is_a_sentence(make_run):
    directory = make_run()
    (directory / "recipe.toml").write_text("task = ")
    run = view_run(directory)
    assert run.result is not None
    assert "recipe.toml" in run.problems[0]


def test_what_is_no_run_is_refused(tmp_path, make_run):
    with pytest.raises(UsageError, match="there is no directory"):
        view_run(tmp_path / "gone")
    with pytest.raises(UsageError, match="neither a sweep nor a run"):
        view_run(tmp_path)
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "adapter.json").write_text("{}")
    with pytest.raises(UsageError, match="is an adapter without its run") as caught:
        view_run(tmp_path / "best")
    assert "compacter evaluate --run" in caught.value.hint
    directory = make_run()
    (directory / "recipe.toml").write_text("[text]\n")
    with pytest.raises(UsageError, match="is a pretraining"):
        view_run(directory)
    shutil.rmtree(directory)
    with pytest.raises(UsageError, match="there is no directory"):
        view_run(directory)

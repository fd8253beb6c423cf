import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from compacter_cli.adapters.adapter_file import load_adapter
from compacter_cli.errors import CompacterError, UsageError
from compacter_cli.files import sweep, write_json
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.training.metrics_file import append_metrics
from compacter_cli.training.run_directory import (
    RUN,
    adapter_of_run,
    check_vacant,
    is_run,
    is_unfinished,
    read_result,
    run_directory,
    start_run,
)

DEMO = "demo/smoke_compacterpp"
ENVIRONMENT = {"python": "3.x"}


def demo(*overrides):
    return load_recipe(DEMO, overrides)


def begun(*settings, **options):
    """A directory of a run that was begun, by a process that has ended."""
    start_run(*settings, **options).release()
    return settings[0]


def files(directory):
    """Every file below a directory with its bytes."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(Path(directory).rglob("*"))
        if path.is_file()
    }


# Where a run goes.


def test_the_directory_names_task_method_preset_and_seed():
    directory = run_directory(demo())
    assert directory.parts[:4] == ("runs", "demo", "smoke", "compacterpp")
    preset, seed, digest = directory.name.split("-")
    assert (preset, seed) == ("tiny", "s42")
    assert len(digest) == 8
    assert int(digest, 16) >= 0


def test_the_directory_is_the_same_for_the_same_recipe():
    assert run_directory(demo()) == run_directory(demo())
    assert run_directory(demo("train.epochs=10")) == run_directory(demo())  # its own value


@pytest.mark.parametrize(
    "change", ["seed=7", "train.epochs=3", "data.seed=1", "method.n=2", "train.dropout=0.1"]
)
def test_another_recipe_goes_to_another_directory(change):
    assert run_directory(demo(change)) != run_directory(demo())


def test_a_run_is_called_as_before_the_execution_could_be_left_open():
    """Recipes said lean then; the names of runs that are there must be found again."""
    found = {
        run_directory(load_recipe("demo/smoke_compacterpp", changes)).name
        for changes in ([], ["train.execution=lean"], ["train.execution=reference"])
    }
    assert found == {"tiny-s42-ac6ae571"}


def test_the_output_root_moves_a_run_and_keeps_its_name():
    moved = run_directory(demo("output.root=elsewhere"))
    assert moved == Path("elsewhere", *run_directory(demo()).parts[1:])


def test_a_local_preset_gives_the_name_of_its_folder(tmp_path):
    preset = tmp_path / "my_preset"
    preset.mkdir()
    recipe = demo()
    backbone = recipe.backbone.model_copy(update={"preset": str(preset)})
    directory = run_directory(recipe.model_copy(update={"backbone": backbone}))
    assert directory.name.startswith("my_preset-s42-")


def test_an_output_that_is_given_is_taken_as_it_is(tmp_path):
    assert run_directory(demo(), tmp_path / "mine") == tmp_path / "mine"


# Starting one.


def test_a_started_run_holds_its_recipe_and_environment(tmp_path):
    directory = begun(tmp_path / "a" / "run", demo(), ENVIRONMENT)
    assert directory == tmp_path / "a" / "run"
    assert sorted(files(directory)) == ["environment.json", "recipe.toml"]
    assert json.loads((directory / "environment.json").read_text()) == ENVIRONMENT
    assert is_run(directory)
    assert read_result(directory) is None


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("seed=7", "data.max_train_samples=40", "train.learning_rate=1e-7"),
        ('data.folder=/data/with "quotes", [brackets] \\ and ä', "data.target_length=9"),
    ],
)
def test_the_recipe_of_a_run_reloads_to_the_same_recipe(tmp_path, overrides):
    recipe = demo(*overrides)
    directory = begun(tmp_path / "run", recipe, ENVIRONMENT)
    assert load_recipe(str(directory / "recipe.toml")) == recipe


def test_the_recipe_of_a_run_leaves_nothing_to_defaults(tmp_path):
    recipe = load_recipe("glue/rte_full", ["backbone.preset=random/tiny"])
    text = recipe.toml()
    assert "learning_rate = 0.0003" in text
    for line in ("accumulate = 1", "eval_batch_size = 100", "target_length = 16"):
        assert line in text
    assert "max_train_samples" not in text  # TOML has no null
    assert "folder" not in recipe.plain()["data"]


def test_an_empty_directory_is_taken(tmp_path):
    (tmp_path / "run").mkdir()
    check_vacant(tmp_path / "run")
    assert is_run(begun(tmp_path / "run", demo(), ENVIRONMENT))


def test_the_empty_working_directory_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    check_vacant(".")
    begun(".", demo(), ENVIRONMENT)
    assert is_run(tmp_path)


def test_a_run_is_not_overwritten_unless_asked(tmp_path):
    directory = begun(tmp_path / "run", demo(), ENVIRONMENT)
    before = files(directory)
    with pytest.raises(UsageError, match="holds a run already \\(unfinished\\)") as caught:
        start_run(directory, demo("seed=7"), ENVIRONMENT)
    assert "--overwrite" in caught.value.hint
    write_json(directory / "result.json", {"test": 1})
    with pytest.raises(UsageError, match="\\(finished\\)"):
        check_vacant(directory)
    (directory / "result.json").unlink()
    assert files(directory) == before


def test_overwrite_replaces_all_of_a_run(tmp_path):
    directory = begun(tmp_path / "run", demo(), ENVIRONMENT)
    write_json(directory / "result.json", {"test": 1})
    append_metrics(directory, step=1)
    (directory / "best").mkdir()
    (directory / "best" / "adapter.json").write_text("{}")
    check_vacant(directory, overwrite=True)
    begun(directory, demo("seed=7"), ENVIRONMENT, overwrite=True)
    assert sorted(files(directory)) == ["environment.json", "recipe.toml"]
    assert load_recipe(str(directory / "recipe.toml")).seed == 7


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_directory_that_is_no_run_is_never_overwritten(tmp_path, overwrite):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years of work")
    for refuse in (
        lambda: check_vacant(thesis, overwrite),
        lambda: start_run(thesis, demo(), ENVIRONMENT, overwrite),
    ):
        with pytest.raises(UsageError, match="is not a run, so it is never overwritten"):
            refuse()
    assert files(tmp_path) == {"thesis/chapter.tex": b"years of work"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_recipe_by_hand_makes_no_run_to_overwrite(tmp_path, overwrite):
    (tmp_path / "recipe.toml").write_text(demo().toml())
    (tmp_path / "best.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not a run, so it is never overwritten"):
        check_vacant(tmp_path, overwrite)


@pytest.mark.parametrize("name", ["notes.txt", "recipe.toml.bak", "bestiary"])
def test_what_a_user_put_into_a_run_is_not_overwritten(tmp_path, name):
    directory = begun(tmp_path / "run", demo(), ENVIRONMENT)
    (directory / name).write_text("mine")
    before = files(directory)
    with pytest.raises(UsageError, match=f"also holds {name}, which compacter did not write"):
        start_run(directory, demo(), ENVIRONMENT, overwrite=True)
    assert files(directory) == before


def test_answers_of_ones_own_beside_a_recipe_are_no_run(tmp_path):
    (tmp_path / "recipe.toml").write_text(demo().toml())
    (tmp_path / "predictions.jsonl").write_text("mine")  # of compacter predict --output
    with pytest.raises(UsageError, match="is not a run, so it is never overwritten"):
        check_vacant(tmp_path, overwrite=True)


def test_leftovers_of_a_killed_process_may_be_overwritten(tmp_path):
    directory = begun(tmp_path / "run", demo(), ENVIRONMENT)
    for name in ("best.new-123", "last.previous"):
        (directory / name).mkdir()
    (directory / "result.json.new-9").write_text("{")
    begun(directory, demo(), ENVIRONMENT, overwrite=True)
    assert sorted(files(directory)) == ["environment.json", "recipe.toml"]


def test_an_overwrite_that_is_killed_leaves_what_can_be_overwritten(tmp_path):
    directory = begun(tmp_path / "run", demo(), ENVIRONMENT)
    (directory / "recipe.toml").unlink()
    check_vacant(directory, overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_in_the_way_is_refused_and_kept(tmp_path, overwrite):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(UsageError, match="run exists and is not a run"):
        start_run(tmp_path / "run", demo(), ENVIRONMENT, overwrite)
    assert (tmp_path / "run").read_text() == "a file"


def test_a_file_in_place_of_a_parent_is_an_error_of_one_line(tmp_path):
    (tmp_path / "file").write_text("a file")
    with pytest.raises(UsageError, match=r"cannot write to .*Not a directory") as caught:
        start_run(tmp_path / "file" / "run", demo(), ENVIRONMENT)
    assert "--output" in caught.value.hint


def test_overwriting_through_a_link_works_or_says_why_not(tmp_path):
    begun(tmp_path / "run", demo(), ENVIRONMENT)
    (tmp_path / "link").symlink_to(tmp_path / "run")
    said = None
    try:
        start_run(tmp_path / "link", demo("seed=7"), ENVIRONMENT, overwrite=True)
    except UsageError as error:
        said = str(error)
    seed = load_recipe(str(tmp_path / "link" / "recipe.toml")).seed
    assert seed == (7 if said is None else 42)
    assert said is None or not said.endswith(": None")


def test_a_directory_taken_in_between_is_not_written_to(tmp_path, monkeypatch):
    real = Path.mkdir

    def late(self, *args, **kwargs):
        real(self, *args, **kwargs)
        (self / "recipe.toml").write_text("of the other run")
        return real(self, *args, **kwargs)

    monkeypatch.setattr(Path, "mkdir", late)
    with pytest.raises(UsageError, match="was taken by another run"):
        start_run(tmp_path / "run", demo(), ENVIRONMENT)
    assert (tmp_path / "run" / "recipe.toml").read_text() == "of the other run"


def test_of_runs_that_begin_at_once_one_has_the_directory(tmp_path):
    def begin(seed):
        together.wait()
        try:
            start_run(tmp_path / "run", demo(f"seed={seed}"), ENVIRONMENT)
        except UsageError as error:
            return f"{error} {error.hint}"
        return seed

    together = Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(begin, range(8)))
    (first,) = (outcome for outcome in outcomes if isinstance(outcome, int))
    assert load_recipe(str(tmp_path / "run" / "recipe.toml")).seed == first
    refused = [outcome for outcome in outcomes if outcome != first]
    assert all("choose another --output" in said or "taken by another" in said for said in refused)


# What is written into it.


def test_json_is_replaced_whole_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    write_json(path, {"b": "ä"})
    assert json.loads(path.read_text(encoding="utf-8")) == {"b": "ä"}
    assert os.listdir(tmp_path) == ["result.json"]


def test_json_that_cannot_be_written_leaves_the_file_before_it(tmp_path):
    path = tmp_path / "result.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"b": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_result_that_cannot_be_written_is_an_error_of_one_line(tmp_path):
    (tmp_path / "result.json").mkdir()
    with pytest.raises(CompacterError, match="result"):
        write_json(tmp_path / "result.json", {})


def test_a_result_is_read_back_or_none_or_said_to_be_damaged(tmp_path):
    assert read_result(tmp_path) is None
    write_json(tmp_path / "result.json", {"test": {"mean": 50.0}})
    assert read_result(tmp_path) == {"test": {"mean": 50.0}}
    (tmp_path / "result.json").write_text('{"test": ')
    with pytest.raises(CompacterError, match=r"result\.json is damaged"):
        read_result(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", "3", '"result"', "[" * 100_000, "1" * 5_000, "\0"])
def test_a_result_that_is_no_object_is_said_to_be_damaged(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(CompacterError, match=r"result\.json is damaged"):
        read_result(tmp_path)


@pytest.mark.parametrize("recipe", [None, "", "[" * 100_000, "task = "])
def test_an_adapter_makes_a_run_whatever_became_of_the_recipe(tmp_path, recipe):
    (tmp_path / "best").mkdir()
    if recipe is not None:
        (tmp_path / "recipe.toml").write_text(recipe)
    assert is_run(tmp_path)
    assert adapter_of_run(tmp_path) == tmp_path / "best"


def test_a_directory_is_a_run_by_its_recipe(tmp_path):
    assert not is_run(tmp_path)
    assert not is_run(tmp_path / "nothing")
    (tmp_path / "recipe.toml").mkdir()
    assert not is_run(tmp_path)
    (tmp_path / "recipe.toml").rmdir()
    (tmp_path / "recipe.toml").write_text("")
    assert is_run(tmp_path)


# The adapters of a run.


def test_the_adapters_of_a_run_are_found(smoke_run):
    assert adapter_of_run(smoke_run) == smoke_run / "best"
    assert adapter_of_run(smoke_run, "last") == smoke_run / "last"


def test_an_adapter_that_was_set_aside_is_found(smoke_run, tmp_path):
    run = shutil.copytree(smoke_run, tmp_path / "run")
    (run / "best").rename(run / "best.previous")
    found = load_adapter(adapter_of_run(run))
    assert found.manifest == load_adapter(smoke_run / "best").manifest


def test_a_directory_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no run directory") as caught:
        adapter_of_run(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_the_run_that_may_be_meant_is_named(smoke_run, tmp_path):
    run = shutil.copytree(smoke_run, tmp_path / "rte" / "run")
    for given, hint in (
        (run / "result.json", f"give its directory: {run}"),
        (tmp_path, f"give the directory of a run below it, such as {run}"),
    ):
        with pytest.raises(UsageError, match="is no run directory") as caught:
            adapter_of_run(given)
        assert caught.value.hint == hint


def test_a_run_that_saved_nothing_is_refused(tmp_path):
    (tmp_path / "recipe.toml").write_text("")
    with pytest.raises(UsageError, match="has no best adapter: the run ended before its first"):
        adapter_of_run(tmp_path)


@pytest.mark.parametrize(
    ("there", "said"), [(["best", "last"], "best and last"), (["last"], "last"), ([], "none yet")]
)
def test_an_adapter_that_no_run_has_is_refused_with_those_it_has(tmp_path, there, said):
    (tmp_path / "recipe.toml").write_text("")
    for name in there:
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError) as caught:
        adapter_of_run(tmp_path, "lst")
    assert str(caught.value) == f"--which lst: the adapters of {tmp_path} are {said}"
    assert caught.value.hint == 'did you mean "last"?'


def test_what_killed_processes_left_is_swept(tmp_path):
    left = ["best.new-1", "last.new-22", "last.previous", "state.new-1"]
    for name in [*left, "last", "best.previous", "mine.new-1"]:
        (tmp_path / name).mkdir()
    left += ["metrics.jsonl.new-3", "recipe.toml.new-4"]
    for name in [*left[-2:], "notes.previous", "recipe.toml"]:
        (tmp_path / name).write_text("")
    sweep(tmp_path, RUN.own.__contains__)
    # The best adapter was only there as it had been set aside.
    kept = ["best", "last", "mine.new-1", "notes.previous", "recipe.toml"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == kept


def test_a_run_with_a_state_and_no_result_is_unfinished(tmp_path):
    assert not is_unfinished(tmp_path)
    (tmp_path / "state").mkdir()
    assert is_unfinished(tmp_path)
    (tmp_path / "result.json").write_text("{}")
    assert not is_unfinished(tmp_path)

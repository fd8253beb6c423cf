import copy
import json
import tomllib
from pathlib import Path

import pytest

from compacter_cli.errors import CompacterError, Interrupted, UsageError
from compacter_cli.recipe.recipe import load_recipe
from compacter_cli.training.claim import check_same_recipe
from compacter_cli.training.lock import LOCK, Lock
from compacter_cli.training.run_directory import FREE, wrote_recipe
from compacter_cli.training.run_state import (
    RunRecord,
    changes,
    check_record,
    standing,
    telling_how_to_go_on,
)

NOW = {"backbone": "b" * 64, "data": "d" * 64}
COMPUTED = {
    "compacter": "0.1.0",
    "torch": "2.12",
    "device": "cpu",
    "threads": 2,
    "dropout": "sfc64",
}


def recipe_of(*overrides):
    return load_recipe("demo/smoke_compacterpp", [*overrides])


def record_of(recipe):
    return {
        "recipe": recipe if isinstance(recipe, dict) else recipe.plain(),
        "fingerprints": dict(NOW),
        "computed": dict(COMPUTED),
        "progress": {"epochs": 1, "losses": 0.0, "counted": 0, "best": 50.0},
        "best": None,
        "before": None,
        "seconds": 1.5,
        "started_from": None,
    }


@pytest.fixture
def run(tmp_path):
    """The directory of an unfinished run of the demo recipe."""
    directory = tmp_path / "run"
    directory.mkdir()
    (directory / "recipe.toml").write_text(recipe_of().toml())
    (directory / "metrics.jsonl").write_text("")
    return directory


# How far a run is.


def test_a_directory_that_is_not_there_or_holds_a_dead_lock_alone_is_vacant(tmp_path):
    assert standing(tmp_path / "missing", recipe_of()) == "vacant"
    assert standing(tmp_path, recipe_of()) == "vacant"
    (tmp_path / LOCK).write_text("1\n")
    assert standing(tmp_path, recipe_of()) == "vacant"


def test_a_run_is_unfinished_until_it_has_a_result(run):
    assert standing(run, recipe_of()) == "unfinished"
    (run / "result.json").write_text("{}")
    assert standing(run, recipe_of()) == "finished"


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 5_000])
def test_a_damaged_result_is_none(run, text):
    (run / "result.json").write_text(text)
    assert standing(run, recipe_of()) == "unfinished"


def test_a_run_that_was_killed_before_it_wrote_more_than_its_recipe_is_unfinished(tmp_path):
    (tmp_path / "recipe.toml").write_text(recipe_of().toml())
    (tmp_path / LOCK).write_text("1\n")
    assert standing(tmp_path, recipe_of()) == "unfinished"


def test_a_run_that_a_process_holds_is_refused(run):
    lock = Lock(run).take()
    with pytest.raises(UsageError, match="is being written by another process"):
        standing(run, recipe_of())
    lock.release()


@pytest.mark.parametrize("name", ["mine.txt", "recipe.toml"])
def test_what_is_no_run_is_refused(tmp_path, name):
    (tmp_path / name).write_text("")
    with pytest.raises(UsageError, match="is not a run"):
        standing(tmp_path, recipe_of())


def test_a_file_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(UsageError, match="is not a run"):
        standing(tmp_path / "run", recipe_of())


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_of_another_recipe_is_refused(run, finished):
    if finished:
        (run / "result.json").write_text("{}")
    with pytest.raises(UsageError, match=r"(?m)another recipe: seed \(42 there, 7 here\)$"):
        standing(run, recipe_of("seed=7"))


@pytest.mark.parametrize("text", ["", "seed = [", "[" * 5_000, 'task = "no/such"'])
def test_a_damaged_recipe_refuses_nothing_for_the_state_holds_it_too(run, text):
    (run / "recipe.toml").write_text(text)
    assert standing(run, recipe_of("seed=7")) == "unfinished"


# Recipes.


def test_the_recipe_itself_is_gone_on_with():
    check_same_recipe(Path("run"), recipe_of().plain(), recipe_of().plain(), FREE)


@pytest.mark.parametrize(
    "override",
    ["train.save_every=3", "train.save_minutes=1.0", "train.not_finite=skip",
     "output.root=elsewhere", "output.without_metrics=stop"],
)  # fmt: skip
def test_what_changes_no_result_may_differ(override):
    check_same_recipe(Path("run"), recipe_of().plain(), recipe_of(override).plain(), FREE)
    check_same_recipe(Path("run"), recipe_of(override).plain(), recipe_of().plain(), FREE)


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("demo/entailment_bitfit", "final_norms = true"),
        ("demo/entailment_said", 'gradient = "exact"'),
        ("demo/entailment_full", 'prefix = "entailment"'),
    ],
)
def test_a_run_of_before_there_was_a_key_goes_on_as_it_was_meant(tmp_path, name, without):
    settings = ["method.final_norms=true"] if "bitfit" in name else []
    recipe = load_recipe(name, settings)
    text = recipe.toml().replace(f"{without}\n", "", 1)
    assert text != recipe.toml()
    (tmp_path / "recipe.toml").write_text(text)
    assert not wrote_recipe(str(tmp_path / "recipe.toml"))  # nothing yet says that it is a run's
    (tmp_path / "metrics.jsonl").write_text("")
    assert wrote_recipe(str(tmp_path / "recipe.toml"))
    own = load_recipe(str(tmp_path / "recipe.toml"), of_run=True)
    assert own == recipe
    assert standing(tmp_path, own) == "unfinished"
    assert check_record(tmp_path, record_of(tomllib.loads(text)), own, NOW)


def other_values():
    """An override of every key of the demo recipe that decides its result."""
    return [
        "seed=7", "backbone.precision=bfloat16", "backbone.preset=demo/t5", "method.bottleneck=8",
        "method.n=2", "data.seed=7", "data.source_length=64", "data.target_length=8",
        "data.max_train_samples=9", "train.epochs=3", "train.batch_size=9", "train.accumulate=2",
        "train.eval_batch_size=9", "train.learning_rate=0.5", "train.warmup_steps=3",
        "train.clip_norm=0.5", "train.dropout=0.3", "train.score_before=true",
        "train.remat=true", "train.patience=2", "train.init_from=runs/other",
    ]  # fmt: skip


@pytest.mark.parametrize("override", other_values())
def test_what_may_change_the_result_is_refused(override):
    key = override.partition("=")[0]
    with pytest.raises(UsageError, match=rf"another recipe: {key} \(") as caught:
        check_same_recipe(Path("run"), recipe_of().plain(), recipe_of(override).plain(), FREE)
    assert "--recipe run/recipe.toml" in caught.value.hint


def test_every_key_of_the_train_section_is_one_or_the_other():
    from compacter_cli.recipe.sections import TrainSection

    tried = {override.partition("=")[0].removeprefix("train.") for override in other_values()}
    free = {"save_every", "save_minutes", "not_finite", "execution"}
    assert TrainSection.model_fields.keys() - tried == free


def test_all_that_differs_is_named_at_once_with_both_sides():
    there, here = recipe_of("train.epochs=3"), recipe_of("seed=7", "data.max_train_samples=9")
    with pytest.raises(UsageError) as caught:
        check_same_recipe(Path("a run"), there.plain(), here.plain(), FREE)
    assert str(caught.value) == (
        "a run was begun with another recipe: data.max_train_samples (not set there, 9 here), "
        f"seed (42 there, 7 here), train.epochs (3 there, {recipe_of().train.epochs} here)"
    )
    assert "--recipe 'a run/recipe.toml'" in caught.value.hint


def test_of_many_keys_the_first_ten_are_named():
    with pytest.raises(UsageError, match=r"(?m)backbone\.precision \(.*, and 16 more$") as caught:
        check_same_recipe(Path("run"), {}, recipe_of().plain(), FREE)
    assert str(caught.value).count(" here)") == 10


def test_a_hostile_value_of_the_other_recipe_is_shown_as_an_excerpt():
    there = {**recipe_of().plain(), "seed": "\x1b[2J" + "x" * 5_000, "\x1b[2J" * 99: 1}
    with pytest.raises(UsageError) as caught:
        check_same_recipe(Path("run"), there, recipe_of().plain(), FREE)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


# Records.


def test_a_record_of_the_same_is_gone_on_from():
    record = record_of(recipe_of())
    assert check_record(Path("run"), record, recipe_of("train.save_every=1"), NOW) == record
    assert record.keys() == RunRecord.__annotations__.keys()


@pytest.mark.parametrize("key", sorted(RunRecord.__annotations__.keys() - {"started_from"}))
def test_a_record_that_lacks_something_is_an_error(key):
    record = record_of(recipe_of())
    del record[key]
    with pytest.raises(CompacterError, match=f"the state in run lacks {key}") as caught:
        check_record(Path("run"), record, recipe_of(), NOW)
    assert "--overwrite" in caught.value.hint


def test_the_recipe_of_a_record_is_held_against_the_one_at_hand():
    with pytest.raises(UsageError, match="another recipe: seed"):
        check_record(Path("run"), record_of(recipe_of("seed=7")), recipe_of(), NOW)


@pytest.mark.parametrize(("key", "said"), [("data", "rows"), ("backbone", "backbone")])
def test_other_rows_or_another_backbone_are_refused(key, said):
    now = {**NOW, key: "e" * 64}
    with pytest.raises(UsageError) as caught:
        check_record(Path("run"), record_of(recipe_of()), recipe_of(), now)
    told = f"run was begun with other {said}: the fingerprint is {key[0] * 12} there and "
    assert str(caught.value) == told + "e" * 12 + " here"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("recipe", []), ("recipe", None), ("fingerprints", []), ("fingerprints", {"data": "d"}),
        ("fingerprints", {"data": 5, "backbone": "b"}), ("computed", None), ("computed", [1]),
        ("progress", {}), ("progress", []), ("best", 5), ("best", {"number": 1}), ("before", "x"),
        ("seconds", "1"), ("seconds", None), ("progress.epochs", "1"),
        ("progress.losses", None), ("progress.counted", 1.5), ("progress.best", "high"),
    ],
)  # fmt: skip
def test_a_record_of_other_kinds_is_an_error_of_one_line(path, value):
    record = copy.deepcopy(record_of(recipe_of()))
    *above, key = path.split(".")
    (record[above[0]] if above else record)[key] = value
    with pytest.raises(CompacterError, match=r"the state in run (is damaged: |lacks )") as caught:
        check_record(Path("run"), record, recipe_of(), NOW)
    assert str(caught.value).isprintable()


def test_a_record_comes_back_from_json_as_it_went():
    record = record_of(recipe_of())
    assert json.loads(json.dumps(record)) == record


# What computes.


def test_nothing_that_changed_is_nothing_said():
    assert changes(COMPUTED, COMPUTED) == []


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("compacter", "0.2.0", "compacter was 0.1.0 and is 0.2.0: "),
        ("torch", "3.0", "torch was 2.12 and is 3.0: "),
        ("device", "cuda", "device was cpu and is cuda: "),
        ("threads", 8, "threads was 2 and is 8: "),
        ("dropout", "torch", "another device draws another dropout: "),
        ("processes", 2, "the run was computed by 1 at a time and is by 2: "),
    ],
)
def test_another_version_machine_or_stream_is_said(key, value, said):
    (sentence,) = changes(COMPUTED, {**COMPUTED, key: value})
    assert sentence.startswith(said)


# The command.


def test_the_innermost_words_of_an_interrupt_stay_with_the_same_command():
    for inner, said in (("go", "after update 3"), ("another", "amid the two")):
        with (
            pytest.raises(Interrupted) as caught,
            telling_how_to_go_on("go", "amid the two"),
            telling_how_to_go_on(inner, "after update 3"),
        ):
            raise KeyboardInterrupt
        assert str(caught.value) == f"interrupted {said}; go on with: go"

"""A recipe: precedence, strictness, and that every problem is named at once."""

import os
import tomllib
from typing import Literal

import pytest
from pydantic import PositiveInt, ValidationError

from compacter_cli.errors import (
    CompacterError,
    MissingResourceError,
    Problem,
    RecipeError,
    UsageError,
)
from compacter_cli.methods import METHODS
from compacter_cli.methods.base import Method
from compacter_cli.recipe.recipe import load_recipe, recipe_of
from compacter_cli.recipe.sections import DataSection, OwnDataSection, TrainSection
from compacter_cli.recipe.tables import override
from compacter_cli.t5.random_backbone import tiny_vocabulary
from compacter_cli.t5.shapes import RANDOM_TINY_SHAPE
from compacter_cli.tasks import TASKS, task_of
from compacter_cli.training.run_directory import run_directory

TINY = """
task = "demo/smoke"
[backbone]
preset = "random/tiny"
[method]
name = "compacterpp"
"""
BASE = TINY.replace("random/tiny", "t5_base_multi")


@pytest.fixture
def load(tmp_path):
    """Loads a recipe text with overrides."""

    def load(*overrides, text=TINY):
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return load_recipe(str(path), overrides)

    return load


@pytest.fixture
def problems(load):
    """The problems of a recipe text with overrides, by key."""

    def problems(*overrides, text=TINY):
        with pytest.raises(RecipeError) as caught:
            load(*overrides, text=text)
        found = {problem.key: problem for problem in caught.value.problems}
        assert len(found) == len(caught.value.problems), "a key is listed twice"
        return found

    return problems


# Precedence and --set


def test_what_neither_recipe_nor_set_gives_is_the_default(load):
    recipe = load()
    assert (recipe.seed, recipe.data.seed) == (42, 42)
    train = recipe.train
    assert (train.epochs, train.batch_size, train.accumulate) == (20, 100, 1)
    assert (train.warmup_steps, train.clip_norm, train.dropout) == (500, 1.0, 0.1)
    assert recipe.data.source_length == 128
    assert recipe.backbone.precision == "float32"
    method = recipe.method
    assert (method.bottleneck, method.n, method.rank) == (24, 4, 1)
    assert method.activation == "gelu_tanh"


def test_the_recipe_wins_over_the_default(load):
    assert load(text=TINY + "[train]\nepochs = 7\n").train.epochs == 7


def test_set_wins_over_the_recipe(load):
    recipe = load("train.epochs=3", text=TINY + "[train]\nepochs = 7\nbatch_size = 5\n")
    assert (recipe.train.epochs, recipe.train.batch_size) == (3, 5)


def test_the_last_set_wins(load):
    assert load("train.epochs=3", "train.epochs=4").train.epochs == 4


def test_a_set_value_is_read_as_toml_where_it_is_toml():
    given = ["a.int=3", "a.float=3e-4", "a.true=true", 'a.quoted="3"', "a.list=[1, 2]", "a.t={x=1}"]
    assert override({}, given) == {
        "a": {"int": 3, "float": 3e-4, "true": True, "quoted": "3", "list": [1, 2], "t": {"x": 1}}
    }


@pytest.mark.parametrize("value", ["t5_base_multi", "./a b/c", "a=b", "C:\\data", "größe", 'a"b'])
def test_a_set_value_that_is_no_toml_is_a_plain_string(value):
    assert override({}, [f"output.root={value}"]) == {"output": {"root": value}}


def test_spaces_around_a_set_key_and_value_do_not_count(load):
    assert load(" train.epochs = 3 ").train.epochs == 3


def test_set_can_give_a_section_that_the_recipe_lacks(load):
    recipe = load("method.name=full", "backbone.preset=random/tiny", text='task = "demo/smoke"\n')
    assert recipe.method.name == "full"


@pytest.mark.parametrize("text", ["train.epochs", "=3", "  =3", "", "train.epochs:3"])
def test_a_set_without_key_or_value_is_refused_with_an_example(load, text):
    with pytest.raises(UsageError, match=r"section\.key=value") as caught:
        load(text)
    assert "--set train.epochs=3" in caught.value.hint


def test_a_set_below_a_plain_value_is_refused(load):
    with pytest.raises(UsageError, match="task is a value, not a section"):
        load("task.name=glue/rte")


@pytest.mark.parametrize(
    "text",
    [
        'output.root="a"\nseed = 7',
        'output.root="a"\n[train]\nepochs = 9',
        "output.root=a\ntrain.epochs=9",
        'output.root="a"\nvalue = "b"',
    ],
)
def test_a_newline_in_a_set_value_brings_no_second_key(load, text):
    recipe = load(text)
    assert (recipe.seed, recipe.train.epochs) == (42, 20)
    assert recipe.output.root == text.partition("=")[2]


def test_overrides_leave_the_file_alone(load, tmp_path):
    load("train.epochs=3")
    assert (tmp_path / "recipe.toml").read_text(encoding="utf-8") == TINY


# What is wrong with it


@pytest.mark.parametrize(
    ("override", "key", "meant"),
    [
        ("trian.epochs=3", "trian", "train"),
        ("sed=3", "sed", "seed"),
        ("backbone.precison=3", "backbone.precison", "precision"),
        ("method.bottlneck=3", "method.bottlneck", "bottleneck"),
        ("data.foldr=3", "data.foldr", "folder"),
        ("train.learning_rat=3", "train.learning_rat", "learning_rate"),
        ("output.rot=3", "output.rot", "root"),
    ],
)
def test_an_unknown_key_of_every_section_names_the_nearest(problems, override, key, meant):
    found = problems(override)
    assert set(found) == {key}
    assert "unknown key" in found[key].message
    assert found[key].hint == f'did you mean "{meant}"?'


def test_an_unknown_key_near_to_none_lists_the_known_ones(problems):
    problem = problems("train.zzz=1")["train.zzz"]
    assert problem.hint == "known: " + ", ".join(TrainSection.model_fields)


def test_a_key_of_another_method_is_refused(problems):
    found = problems("method.name=adapter", "method.n=4", "method.rank=1")
    assert set(found) == {"method.n", "method.rank"}
    assert found["method.n"].message == 'unknown key of method "adapter"'
    assert "bottleneck" in found["method.n"].hint


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ('train.epochs="3"', "train.epochs"),
        ("train.epochs=true", "train.epochs"),
        ("train.epochs=3.0", "train.epochs"),
        ("train.epochs=[3]", "train.epochs"),
        ("train.epochs=", "train.epochs"),
        ("train.epochs=0", "train.epochs"),
        ("train.warmup_steps=-1", "train.warmup_steps"),
        ("train.batch_size=0", "train.batch_size"),
        ("train.accumulate=0", "train.accumulate"),
        ("train.learning_rate=0", "train.learning_rate"),
        ("train.learning_rate=nan", "train.learning_rate"),
        ("train.dropout=1.0", "train.dropout"),
        ("train.dropout=-0.1", "train.dropout"),
        ('train.learning_rate="3e-4"', "train.learning_rate"),
        ("seed=true", "seed"),
        ("seed=-1", "seed"),
        ("seed=2147483648", "seed"),
        ("data.folder=3", "data.folder"),
        ("data.source_length=0", "data.source_length"),
        ("data.max_train_samples=0", "data.max_train_samples"),
        ("output.root=3", "output.root"),
        ("backbone.precision=float64", "backbone.precision"),
        ("method.n=0", "method.n"),
        ("method.n=true", "method.n"),
        ("method.bottleneck=24.0", "method.bottleneck"),
        ("method.activation=swish", "method.activation"),
        ("train=3", "train"),
        ("backbone=t5_base_multi", "backbone"),
    ],
)
def test_a_wrong_type_or_range_names_the_key_and_what_came(problems, override, key):
    found = problems(override)
    assert set(found) == {key}
    assert "must be" in found[key].message
    assert "Received: " in found[key].message


@pytest.mark.parametrize("seed", ["-1", "18446744073709551616"])
def test_a_data_seed_that_no_generator_takes_is_refused(problems, seed):
    assert "data.seed" in problems(f"data.seed={seed}")


def test_an_infinite_learning_rate_is_refused(problems):
    assert "train.learning_rate" in problems("train.learning_rate=inf")


@pytest.mark.parametrize("key", ["data.folder", "data.archive", "data.data_dir"])
def test_an_empty_path_is_refused_and_is_not_the_current_folder(problems, key):
    assert key in problems(f"{key}=")  # as of --set data.data_dir=$UNSET


@pytest.mark.parametrize(
    ("key", "most"),
    [
        ("data.source_length", 65_536),
        ("data.target_length", 65_536),
        ("data.max_train_samples", 2**31 - 1),
        ("train.epochs", 2**31 - 1),
        ("train.batch_size", 2**31 - 1),
        ("train.accumulate", 2**31 - 1),
        ("train.eval_batch_size", 2**31 - 1),
        ("train.warmup_steps", 2**31 - 1),
        ("method.bottleneck", 65_536),
        ("method.n", 65_536),
        ("method.rank", 65_536),
    ],
)
def test_a_number_beyond_any_t5s_is_a_problem_of_its_key(load, problems, key, most):
    if key != "method.n":  # which must divide, too
        load(f"{key}={most}")
    for number in (most + 1, 10**12, 10**30, 2**1023):
        problem = problems(f"{key}={number}")[key]
        assert f"less than or equal to {most}" in problem.message
        assert len(problem.message) < 200


@pytest.mark.parametrize(
    ("method", "key"),
    [("said", "intrinsic_dim"), ("prompt_r", "length"), ("lowrank", "rank"), ("phm", "n"),
     ("adapterdrop", "dropped_blocks")],
)  # fmt: skip
@pytest.mark.parametrize("number", [10**10, 10**30])
def test_a_number_beyond_any_t5s_is_a_problem_of_every_method(problems, method, key, number):
    text = TINY.replace("compacterpp", method)
    assert f"method.{key}" in problems(f"method.{key}={number}", text=text)


def test_a_subspace_is_smaller_than_the_space(load, problems):
    text = TINY.replace("compacterpp", "said")
    whole = RANDOM_TINY_SHAPE.parameters()
    load(f"method.intrinsic_dim={whole}", text=text)
    problem = problems(f"method.intrinsic_dim={whole + 1}", text=text)["method.intrinsic_dim"]
    assert f"more than the backbone's {whole} weights" in problem.message


@pytest.mark.parametrize("key", ["backbone.preset", "data.folder", "data.data_dir", "output.root"])
def test_a_nul_in_a_text_is_a_problem_of_its_key(problems, key):
    assert problems(f'{key}="a\\u0000b"')[key].message == "holds a NUL character"


def test_what_no_file_can_hold_is_refused_from_python_too():
    for text in ("a\0b", "a\ud83d"):
        tables = {**tomllib.loads(TINY), "output": {"root": text}}
        with pytest.raises(RecipeError, match=r"output\.root"):
            recipe_of(tables, "here")


def test_of_very_many_problems_some_are_told(problems):
    text = TINY + "".join(f"[unknown_{number}]\n" for number in range(5_000))
    found = problems(text=text)
    assert len(found) == 51
    assert found["recipe"].message == "4,950 more problems"


@pytest.mark.parametrize("length", [300, 5_000])
def test_a_preset_of_a_name_too_long_is_unknown_or_missing(load, length):
    with pytest.raises(UsageError, match="no KerasHub T5 preset"):
        load(f"backbone.preset={'x' * length}")
    with pytest.raises(MissingResourceError, match="there is no directory"):
        load(f"backbone.preset=./{'x' * length}")


def test_a_label_that_the_vocabulary_cannot_write_is_refused_before_any_training(problems):
    problem = problems('data.labels=["\u2603", "\u2603\u2603"]', text=OWN)["data.labels"]
    assert "cannot write the label" in problem.message


def test_a_vocabulary_without_a_tasks_labels_is_the_presets_problem(problems):
    # That of random/tiny has neither 2 nor the full stop.
    problem = problems(text=TINY.replace("demo/smoke", "glue/stsb"))["backbone.preset"]
    assert 'cannot write the label "' in problem.message


@pytest.mark.parametrize("precision", ["float16", "mixed_float16", "fp16"])
def test_float16_is_refused_with_the_reason(problems, precision):
    message = problems(f"backbone.precision={precision}")["backbone.precision"].message
    assert "overflow" in message
    assert "bfloat16 or float32" in message


def test_an_unknown_method_names_the_nearest(problems):
    problem = problems("method.name=compactr")["method.name"]
    assert problem.message == 'unknown method "compactr"'
    assert problem.hint == 'did you mean "compacter"?'


def test_a_method_near_to_none_lists_the_known_ones(problems):
    assert problems("method.name=zzz")["method.name"].hint == "known: " + ", ".join(METHODS)


def test_an_unknown_task_names_the_nearest_or_lists_them(problems):
    assert 'did you mean "glue/rte"?' in problems("task=glue/rtee")["task"].message
    message = problems("task=zzz")["task"].message
    assert all(name in message for name in TASKS)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (TINY.replace('task = "demo/smoke"', ""), "task"),
        (TINY.replace('preset = "random/tiny"', ""), "backbone.preset"),
        (TINY.replace('name = "compacterpp"', ""), "method.name"),
        (TINY.replace('[backbone]\npreset = "random/tiny"', ""), "backbone"),
        (TINY.replace('[method]\nname = "compacterpp"', ""), "method"),
    ],
)
def test_what_is_missing_is_named(problems, text, key):
    assert text != TINY
    assert problems(text=text)[key].message == "missing"


def test_an_empty_recipe_misses_three_things(problems):
    assert set(problems(text="# nothing\n")) == {"task", "backbone", "method"}


def test_an_unknown_preset_names_the_nearest(load):
    with pytest.raises(UsageError, match="t5_bas_multi") as caught:
        load("backbone.preset=t5_bas_multi")
    assert "t5_base_multi" in str(caught.value) + str(caught.value.hint)


def test_a_preset_path_that_is_not_there_is_a_missing_resource(load, tmp_path):
    with pytest.raises(MissingResourceError, match="nowhere"):
        load(f"backbone.preset={tmp_path / 'nowhere'}")


def test_n_that_divides_neither_dimension_is_two_problems(problems):
    found = problems("method.n=5", text=BASE)
    assert set(found) == {"method.n", "method.bottleneck"}
    assert "768 % 5 = 3" in found["method.n"].message
    assert "24 % 5 = 4" in found["method.bottleneck"].message
    assert found["method.n"].hint == "n can be 1, 2, 3, 4, 6, 8, 12, 24 here"


def test_n_that_does_not_divide_the_bottleneck(problems):
    found = problems("method.n=16", text=BASE)  # 768 = 48 x 16
    assert set(found) == {"method.bottleneck"}


def test_n_that_does_not_divide_the_hidden_dimension(problems):
    found = problems("method.n=5", "method.bottleneck=25", text=BASE)
    assert set(found) == {"method.n"}


@pytest.mark.parametrize("n", [4, 8, 12])
def test_the_papers_n_are_valid_on_t5_base(load, n):
    assert load(f"method.n={n}", text=BASE).method.n == n


def test_a_label_longer_than_the_target_length_is_refused_before_any_training(problems):
    # "0" is two pieces of the tiny vocabulary, and the end token
    problem = problems("data.target_length=2")["data.target_length"]
    assert 'the label "0" is 3 tokens long, more than 2' in problem.message
    assert problem.hint == "set it to 3 or more"


def test_a_label_of_exactly_the_target_length_is_fine(load):
    assert load("data.target_length=3").data.target_length == 3


@pytest.mark.parametrize("other", ["archive", "data_dir"])
def test_rows_have_one_place(problems, other):
    found = problems("data.folder=a", f"data.{other}=b")
    assert "give one of " in found["data"].message


def test_a_place_given_later_is_instead_of_the_recipes(load):
    recipe = load("data.archive=RTE.zip", text=load("data.folder=originals").toml())
    assert (recipe.data.folder is None, recipe.data.archive) == (True, os.path.abspath("RTE.zip"))


def test_all_problems_are_listed_at_once_cross_checks_too(problems):
    found = problems(
        "train.epoch=3",
        "train.batch_size=0",
        "trian.x=1",
        "backbone.precision=float16",
        "method.d=24",
        "method.n=5",
        "data.target_length=1",
    )
    assert set(found) == {
        "train.epoch",
        "train.batch_size",
        "trian",
        "backbone.precision",
        "method.d",
        "method.n",
        "method.bottleneck",
        "data.target_length",
    }


def test_an_unknown_preset_is_listed_with_the_other_problems(load):
    with pytest.raises(UsageError) as caught:
        load("backbone.preset=t5_bas_multi", "train.epochs=0")
    assert "t5_bas_multi" in str(caught.value)
    assert "train.epochs" in str(caught.value)


def test_the_error_names_the_recipe_and_every_key(load, tmp_path):
    with pytest.raises(RecipeError) as caught:
        load("train.epoch=3", "sed=1")
    text = str(caught.value)
    assert text.startswith(str(tmp_path / "recipe.toml"))
    assert "train.epoch: unknown key" in text
    assert "sed: unknown key" in text
    assert caught.value.exit_code == 2


def test_a_key_without_its_section_is_told_with_it(load):
    with pytest.raises(RecipeError) as caught:
        load("epochs=3", "bottleneck=8")
    found = {problem.key: problem.hint for problem in caught.value.problems}
    assert found == {
        "epochs": 'did you mean "train.epochs"?',
        "bottleneck": 'did you mean "method.bottleneck"?',
    }


# A method that is in no paper


class Scaled(Method):
    """A method of these tests."""

    name: Literal["scaled"]
    strength: PositiveInt = 3
    learning_rate = 0.5

    def problems(self, shape):
        return [Problem("method.strength", "too strong")] if self.strength > shape.num_heads else []


@pytest.fixture
def scaled(monkeypatch):
    """A recipe of a method that was not there when this program was written."""
    monkeypatch.setitem(METHODS, "scaled", Scaled)
    return TINY.replace("compacterpp", "scaled")


def test_a_new_method_is_read_by_its_own_class_and_written_with_its_own_keys(load, scaled):
    recipe = load("method.strength=2", text=scaled)
    assert type(recipe.method) is Scaled
    assert recipe.method.strength == 2
    assert recipe.train.learning_rate == 0.5
    assert recipe.plain()["method"] == {"name": "scaled", "strength": 2}
    assert load(text=recipe.toml()) == recipe
    assert load(text=scaled).method.strength == 3


def test_errors_of_a_new_method_are_told_like_the_others(problems, scaled):
    found = problems("method.stregth=2", text=scaled)
    assert set(found) == {"method.stregth"}
    assert found["method.stregth"].message == 'unknown key of method "scaled"'
    assert found["method.stregth"].hint == 'did you mean "strength"?'
    found = problems("method.strength=0", "train.epochs=0", text=scaled)
    assert set(found) == {"method.strength", "train.epochs"}
    assert "must be greater than 0. Received: 0" in found["method.strength"].message
    found = problems("method.strength=99", "train.epochs=0", text=scaled)
    assert found["method.strength"].message == "too strong"
    assert problems("method.name=scald")["method.name"].hint == 'did you mean "scaled"?'


def test_a_method_that_is_gone_is_unknown_again(load, scaled, monkeypatch):
    load(text=scaled)
    monkeypatch.delitem(METHODS, "scaled")
    with pytest.raises(RecipeError, match='unknown method "scaled"'):
        load(text=scaled)


def test_a_method_is_found_by_its_name_or_the_nearest_is_named():
    with pytest.raises(UsageError, match='unknown method "compactr"') as caught:
        METHODS["compactr"]
    assert caught.value.hint == 'did you mean "compacter"?'
    with pytest.raises(UsageError, match='unknown task "glue/rt"') as caught:
        TASKS["glue/rt"]
    assert caught.value.hint == 'did you mean "glue/rte"?'
    assert METHODS.get("compactr") is None


@pytest.mark.parametrize("given", ["3", "[1]", "true"])
@pytest.mark.parametrize("section", ["method", "data", "train"])
def test_a_section_that_is_no_table_says_so(problems, section, given):
    message = problems(f"{section}={given}")[section].message
    assert message.startswith(f"must be a table, [{section}]. Received: ")


@pytest.mark.parametrize(("name", "shown"), [("3", "3"), ("[1]", "[1]"), ("true", "True")])
def test_a_methods_name_that_is_no_text_is_unknown(problems, name, shown):
    found = problems(f"method.name={name}")
    assert set(found) == {"method.name"}
    assert found["method.name"].message == f'unknown method "{shown}"'


# Files that are no recipe


def test_a_toml_syntax_error_names_the_file_and_line(load, tmp_path):
    with pytest.raises(UsageError, match="not TOML") as caught:
        load(text="task = 'demo/smoke'\nseed = \n")
    assert str(tmp_path / "recipe.toml") in str(caught.value)
    assert "line 2" in str(caught.value)


def test_a_recipe_that_is_not_utf8_is_a_usage_error(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_bytes(b'task = "caf\xe9"\n')
    with pytest.raises(UsageError, match=r"recipe\.toml"):
        load_recipe(str(path))


def test_a_directory_is_no_recipe(tmp_path):
    with pytest.raises(UsageError) as caught:
        load_recipe(str(tmp_path))
    assert str(tmp_path) in str(caught.value)


# The resolved recipe


@pytest.mark.parametrize("preset", ["t5_base_multi", "t5_1.1_base", "t5_large_multi"])
@pytest.mark.parametrize(
    ("method", "rate"),
    [("full", 3e-4), ("adapter", 3e-4), ("bitfit", 3e-4), ("compacterpp", 3e-3), ("said", 3e-2)],
)
def test_the_papers_rate_is_filled_in_in_its_setting(load, method, rate, preset):
    text = TINY.replace("compacterpp", method)
    given = ["task=glue/rte", f"backbone.preset={preset}"]
    assert load(*given, text=text).train.learning_rate == rate
    assert load(*given, "train.learning_rate=1e-5", text=text).train.learning_rate == 1e-5


@pytest.mark.parametrize(
    ("task", "preset"),
    [
        ("glue/rte", "t5_small_multi"),
        ("demo/entailment", "demo/t5"),
        ("demo/entailment", "t5_base_multi"),
        ("csv", "t5_base_multi"),
        ("csv", "t5_small_multi"),
    ],
)
def test_the_searched_rate_is_filled_in_elsewhere(load, task, preset):
    given = [f"task={task}", f"backbone.preset={preset}"]
    if task == "csv":
        given += ["data.train=a.csv", "data.source={text}", "data.target={label}"]
    text = TINY.replace("compacterpp", "bitfit")
    assert load(*given, text=text).train.learning_rate == 1.6e-2
    assert load(*given, "train.learning_rate=1e-5", text=text).train.learning_rate == 1e-5
    assert load(*given, text=TINY.replace("compacterpp", "prompt_t")).train.learning_rate == 3e-1


@pytest.mark.parametrize(
    ("given", "prefix"),
    [
        (["method.name=full"], "smoke"),
        (["method.name=compacterpp"], None),
        (["method.name=full", "task=super_glue/record", "backbone.preset=t5_base_multi"],
         "superglue-record"),
        (["method.name=full", 'data.prefix="answer:"'], "answer:"),
        (["method.name=full", 'data.prefix=""'], ""),
        (["method.name=compacterpp", 'data.prefix="answer:"'], "answer:"),
    ],
)  # fmt: skip
def test_the_prefix_is_filled_in_where_the_method_puts_one(load, given, prefix):
    recipe = load(*given)
    assert recipe.data.prefix == prefix
    assert load(text=recipe.toml()) == recipe
    assert ("prefix" in recipe.plain()["data"]) == (prefix is not None)


def test_relative_paths_become_absolute(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load("data.folder=my/originals").data.folder == str(tmp_path / "my" / "originals")
    assert load("data.data_dir=tfds").data.data_dir == str(tmp_path / "tfds")
    assert load("data.archive=RTE.zip").data.archive == str(tmp_path / "RTE.zip")


def test_a_home_path_is_expanded(load, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load("data.folder=~/glue").data.folder == str(tmp_path / "glue")


def test_names_stay_names(load):
    recipe = load()
    assert recipe.backbone.preset == "random/tiny"
    assert (recipe.data.folder, recipe.data.archive, recipe.data.data_dir) == (None, None, None)
    assert load(text=BASE).backbone.preset == "t5_base_multi"


def test_a_recipe_is_frozen_at_every_depth(load):
    recipe = load()
    with pytest.raises(ValidationError, match="frozen"):
        recipe.seed = 7
    with pytest.raises(ValidationError, match="frozen"):
        recipe.train.epochs = 7
    with pytest.raises(ValidationError, match="frozen"):
        recipe.method.n = 7


def test_sections_are_strict_in_python_too():
    with pytest.raises(RecipeError, match=r"^TrainSection\(.*\): epochs: must be a valid"):
        TrainSection(epochs="3")
    with pytest.raises(RecipeError, match=r'fodler: unknown \(did you mean "folder"\?\)'):
        DataSection(fodler="a")


def test_a_written_recipe_loads_to_an_equal_one(load, loaded, every):
    def check(name):
        assert load(text=loaded[name].toml()) == loaded[name]

    every(check, sorted({*loaded} - {"demo/pretrain"}))


def test_a_written_recipe_of_odd_values_loads_to_an_equal_one(load, tmp_path):
    folder = tmp_path / 'a "quoted" \\ größe\nfolder'
    recipe = load(
        f"data.folder={folder}",
        "train.learning_rate=1e-7",
        "backbone.precision=bfloat16",
        "data.max_train_samples=10",
        "seed=0",
    )
    assert recipe.data.folder == str(folder)
    assert load(text=recipe.toml()) == recipe


def test_the_demo_backbone_keeps_its_name_whatever_lies_in_the_working_directory(
    load, tmp_path, monkeypatch
):
    (tmp_path / "demo" / "t5").mkdir(parents=True)
    (tmp_path / "random" / "tiny").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    for name in ("demo/t5", "random/tiny"):
        assert load(f"backbone.preset={name}").backbone.preset == name
    with pytest.raises(MissingResourceError, match=r"holds no config\.json"):
        load("backbone.preset=./demo/t5")  # the folder


def test_a_resolved_recipe_resolves_to_itself(load):
    recipe = load("data.folder=a")
    assert recipe.resolved() == recipe


def test_plain_tables_make_a_recipe_and_name_their_source():
    tables = tomllib.loads(TINY)
    assert recipe_of(tables, "mine").task == "demo/smoke"
    with pytest.raises(CompacterError, match=r"^mine: train\.epochs"):
        recipe_of({**tables, "train": {"epochs": 0}}, "mine")


# Rows of one's own


OWN = """
task = "jsonl"
[backbone]
preset = "random/tiny"
[method]
name = "compacterpp"
[data]
train = "train.jsonl"
source = "sentence: {text}"
target = "{label}"
"""


def test_own_data_has_a_section_of_its_own(load):
    recipe = load(text=OWN)
    assert type(recipe.data) is OwnDataSection
    assert (recipe.data.seed, recipe.data.source_length, recipe.data.target_length) == (42, 128, 16)
    assert recipe.data.labels is recipe.data.metrics is recipe.data.validation is None
    assert type(load().data) is DataSection


@pytest.mark.parametrize("form", ["jsonl", "csv", "tsv"])
def test_the_task_of_own_data_is_of_its_templates(load, form):
    recipe = load(f"task={form}", 'data.labels=["0", "1"]', text=OWN)
    task = task_of(recipe)
    assert (task.name, task.fields, task.targets) == (form, ("text",), ("0", "1"))
    assert task.source({"text": "iron"}) == "sentence: iron"
    assert task_of(load()) is TASKS["demo/smoke"]


def test_set_can_turn_a_recipe_into_one_of_own_data(load):
    given = ["task=csv", "data.train=a.csv", "data.source={a}", "data.target={b}"]
    assert type(load(*given).data) is OwnDataSection


@pytest.mark.parametrize(
    ("override", "key", "meant"),
    [
        ("data.trian=a", "data.trian", "train"),
        ("data.label=a", "data.label", "labels"),
        ("data.metric=a", "data.metric", "metrics"),
        ("data.sorce=a", "data.sorce", "source"),
        ("data.target_lenght=3", "data.target_lenght", "target_length"),
    ],
)
def test_an_unknown_key_of_own_data_names_the_nearest(problems, override, key, meant):
    found = problems(override, text=OWN)
    assert set(found) == {key}
    assert found[key].message == "unknown key of [data]"
    assert found[key].hint == f'did you mean "{meant}"?'


@pytest.mark.parametrize("key", ["folder", "archive", "data_dir"])
def test_own_data_is_in_no_folder_of_original_files(problems, key):
    found = problems(f"data.{key}=a", text=OWN)
    assert found[f"data.{key}"].message == "unknown key of [data]"
    assert found[f"data.{key}"].hint == "it is for published tasks (glue/rte)"


@pytest.mark.parametrize(
    "key", ["train", "validation", "test", "source", "target", "labels", "metrics"]
)
def test_a_published_task_takes_no_files_of_ones_own(problems, key):
    found = problems(f'data.{key}=["a", "b"]')
    assert set(found) == {f"data.{key}"}
    assert found[f"data.{key}"].message == "unknown key of [data]"


def test_what_own_data_lacks_is_named_all_at_once(problems):
    found = problems("trian.x=1", "train.epochs=0", text=OWN.partition("train = ")[0])
    missing = {"data.train", "data.source", "data.target"}
    assert set(found) == {*missing, "trian", "train.epochs"}
    assert {found[key].message for key in missing} == {"missing"}


def test_own_data_without_a_section_misses_it(problems):
    assert problems(text=OWN.partition("[data]")[0])["data"].message == "missing"


@pytest.mark.parametrize("key", ["source", "target"])
@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("none", "names no column"),
        ("{{text}}", "names no column"),
        ("a {} b", "column's name between braces"),
        ("{text!r}", "column's name between braces"),
        ("{text:3}", "column's name between braces"),
        ("{text", "'}'"),
        ("text}", "'}'"),
    ],
)
def test_a_bad_template_is_named(problems, key, template, said):
    found = problems(f'data.{key}="{template}"', text=OWN)
    assert set(found) == {f"data.{key}"}
    assert said in found[f"data.{key}"].message


@pytest.mark.parametrize("key", ["train", "validation", "test", "source", "target"])
def test_an_empty_text_of_own_data_is_refused(problems, key):
    assert set(problems(f"data.{key}=", text=OWN)) == {f"data.{key}"}


@pytest.mark.parametrize("labels", ['["0"]', "[]", '["0", 1]', '"0"', '["0", ""]'])
def test_labels_are_two_texts_at_least(problems, labels):
    (key,) = problems(f"data.labels={labels}", text=OWN)
    assert key.startswith("data.labels")


def test_a_label_that_is_there_twice_is_refused(problems):
    found = problems('data.labels=["0", "1", "0"]', text=OWN)
    assert "a label is there twice" in found["data"].message


@pytest.mark.parametrize(
    ("labels", "metric", "said"),
    [
        (["0", "1"], "acuracy", "accuracy, f1, macro_f1, matthews, pearson, spearman"),
        (["0", "1"], "exact_match", "accuracy, f1"),
        (None, "accuracy", "exact_match, token_f1, rouge_l"),
        (["0", "1"], "question_em", "accuracy, f1"),
        (["0", "1", "2"], "f1", "f1 needs two labels, here are 3; use macro_f1"),
        (["0", "1", "2"], "matthews", "matthews needs two labels, here are 3"),
        (["0", "one"], "pearson", "pearson needs labels that are numbers"),
        (["0", "nan"], "spearman", "spearman needs labels that are numbers"),
    ],
)
def test_a_metric_must_fit_the_target(problems, labels, metric, said):
    given = [f"data.labels={labels}"] if labels else []
    found = problems(*given, f'data.metrics=["{metric}"]', text=OWN)
    assert set(found) == {"data"}
    assert said in found["data"].message
    assert metric in found["data"].message


def test_no_metrics_at_all_are_refused(problems):
    assert set(problems("data.metrics=[]", text=OWN)) == {"data.metrics"}


@pytest.mark.parametrize(
    ("labels", "metrics"),
    [
        (["0", "1"], ["accuracy", "f1", "macro_f1", "matthews", "pearson", "spearman"]),
        (["0", "1", "10"], ["macro_f1", "pearson"]),
        (None, ["exact_match", "token_f1", "rouge_l"]),
    ],
)
def test_metrics_that_fit_are_taken_in_their_order(load, labels, metrics):
    given = [f"data.labels={labels}"] if labels else []
    assert task_of(load(*given, f"data.metrics={metrics}", text=OWN)).metrics == tuple(metrics)


def test_an_own_label_longer_than_the_target_length_is_refused_before_any_training(problems):
    label = "iron zinc copper nickel"
    given = [f'data.labels=["0", "{label}"]', "data.target_length=2"]
    length = len(tiny_vocabulary().encode([label])[0]) + 1
    assert length > 3
    problem = problems(*given, text=OWN)["data.target_length"]
    assert problem.message == f'the label "{label}" is {length} tokens long, more than 2'
    assert problem.hint == f"set it to {length} or more"
    assert set(problems(*given, "train.epochs=0", text=OWN)) == {
        "data.target_length",
        "train.epochs",
    }


def test_free_text_has_no_label_to_measure(load):
    assert load("data.target_length=1", text=OWN).data.target_length == 1


def test_files_of_own_data_become_absolute(load, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    data = load("data.validation=~/dev.jsonl", f"data.test={tmp_path}/t.jsonl", text=OWN).data
    assert data.train == str(tmp_path / "train.jsonl")
    assert data.validation == str(tmp_path / "home" / "dev.jsonl")
    assert data.test == str(tmp_path / "t.jsonl")
    assert (data.source, data.target) == ("sentence: {text}", "{label}")


def test_a_recipe_of_own_data_is_written_and_read_again(load):
    given = ['data.labels=["0", "1"]', 'data.metrics=["f1"]', "data.test=a.jsonl",
             'data.source="{{}} \\"{text}\\"\\n größe"']  # fmt: skip
    for overrides in ([], given):
        recipe = load(*overrides, text=OWN)
        assert recipe_of(recipe.plain(), "again") == recipe
        assert load(text=recipe.toml()) == recipe
        assert recipe.resolved() == recipe


def test_own_data_changes_where_the_run_goes(load):
    names = [run_directory(load(*given, text=OWN)) for given in ([], ["data.train=other.jsonl"])]
    assert len(set(names)) == 2
    assert {name.parent.parent.name for name in names} == {"jsonl"}

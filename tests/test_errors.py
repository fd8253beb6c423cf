"""Errors: their exit codes, their one line, and the nearest name."""

import pickle
import traceback

import pytest

from compacter_cli.errors import (
    CompacterError,
    MissingResourceError,
    Problem,
    RecipeError,
    UsageError,
    did_you_mean,
    nearest_or_all,
)


@pytest.mark.parametrize(
    ("kind", "code"), [(CompacterError, 1), (UsageError, 2), (MissingResourceError, 3)]
)
def test_every_kind_has_its_exit_code_message_and_hint(kind, code):
    error = kind("what came", "what to do")
    assert (error.exit_code, str(error), error.hint) == (code, "what came", "what to do")
    assert kind("what came").hint is None
    assert isinstance(error, CompacterError)


def test_a_traceback_shows_the_hint_and_keeps_it_on_the_way_between_processes():
    error = pickle.loads(pickle.dumps(UsageError("what came", "what to do")))
    told = "".join(traceback.format_exception(error))
    assert told.endswith("UsageError: what came\nnext: what to do\n")
    assert not hasattr(UsageError("what came"), "__notes__")


def test_a_recipe_s_problems_pass_from_process_to_process():
    error = RecipeError("my.toml", [Problem("method.n", "must divide 512", "set it to 4")])
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.problems) == (str(error), error.problems)


def test_a_recipe_error_lists_every_problem_in_one_line():
    error = RecipeError(
        "my.toml", iter([Problem("a.b", "is bad", "mend it"), Problem("c", "is worse")])
    )
    assert str(error) == "my.toml: a.b: is bad (mend it); c: is worse"
    assert [problem.key for problem in error.problems] == ["a.b", "c"]
    assert (error.exit_code, error.hint, error.source) == (2, None, "my.toml")


def test_the_nearest_name_is_suggested():
    assert did_you_mean("epoch", ["seed", "epochs", "dropout"]) == 'did you mean "epochs"?'


@pytest.mark.parametrize("word", ["", "zzz", 7, None])
def test_nothing_is_suggested_where_nothing_is_near(word):
    assert did_you_mean(word, ["seed", "epochs"]) == ""


def test_nothing_is_suggested_out_of_nothing():
    assert did_you_mean("seed", []) == ""


def test_all_names_are_told_where_none_is_near():
    known = {"seed": 1, "epochs": 2}  # a mapping counts as its keys
    assert nearest_or_all("epoch", known) == 'did you mean "epochs"?'
    assert nearest_or_all("zzz", known) == "known: seed, epochs"
    assert nearest_or_all("zzz", iter(known), "known keys") == "known keys: seed, epochs"

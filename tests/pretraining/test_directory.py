"""The directory of a pretraining: who may write it, and what can be continued."""

import pytest

from compacter_cli.errors import UsageError
from compacter_cli.pretraining.directory import PRETRAINING, check_vacant, standing
from compacter_cli.pretraining.recipe import load_pretraining
from compacter_cli.training.claim import claim
from compacter_cli.training.run_directory import check_vacant as check_vacant_for_training
from compacter_cli.training.run_directory import is_run

RECIPE = load_pretraining("demo/pretrain")


@pytest.fixture
def begun(tmp_path):
    """The directory of a pretraining with a saved state."""
    directory = tmp_path / "begun"
    claim(directory, PRETRAINING, RECIPE).release()
    (directory / "state").mkdir()
    return directory


@pytest.fixture
def finished(begun):
    (begun / "state").rmdir()
    (begun / "config.json").write_text("{}")
    return begun


def refused(call, *arguments, **options):
    with pytest.raises(UsageError) as caught:
        call(*arguments, **options)
    return f"{caught.value} {caught.value.hint}"


def test_a_new_or_empty_directory_may_be_written(tmp_path):
    check_vacant(tmp_path / "new")
    check_vacant(tmp_path)


def test_an_unfinished_pretraining_is_refused_with_all_ways_on(begun):
    said = refused(check_vacant, begun)
    assert "holds an unfinished pretraining" in said
    assert "--resume" in said
    assert "--overwrite" in said
    check_vacant(begun, overwrite=True)


def test_a_finished_one_is_not_begun_again_unasked(finished):
    assert "holds a finished pretraining" in refused(check_vacant, finished)
    assert standing(finished, RECIPE) == "finished"


@pytest.mark.parametrize("name", ["thesis.txt", "recipe.toml"])
def test_what_is_no_pretraining_is_never_overwritten(tmp_path, name):
    (tmp_path / name).write_text('task = "glue/rte"')  # a training run's recipe is none either
    for overwrite in (False, True):
        assert "is no pretraining" in refused(check_vacant, tmp_path, overwrite)


def test_a_recipe_by_hand_makes_no_pretraining_to_overwrite(tmp_path):
    claim(tmp_path, PRETRAINING, RECIPE).release()
    (tmp_path / "my.txt").write_text("mine")
    for overwrite in (False, True):
        assert "is no pretraining" in refused(check_vacant, tmp_path, overwrite)


def test_what_a_user_put_into_a_pretraining_is_not_overwritten(begun):
    (begun / "preset.new-12").mkdir()
    check_vacant(begun, overwrite=True)
    (begun / "my.txt").write_text("mine")
    said = refused(check_vacant, begun, overwrite=True)
    assert "also holds my.txt, which compacter did not write" in said


def test_resuming_elsewhere_says_how_to_go_on(tmp_path):
    assert standing(tmp_path, RECIPE) == "vacant"
    (tmp_path / "thesis.txt").write_text("mine")
    assert "holds no pretraining" in refused(standing, tmp_path, RECIPE)


def test_a_training_never_overwrites_a_pretraining(begun):
    assert not is_run(begun)
    for overwrite in (False, True):
        assert "is not a run" in refused(check_vacant_for_training, begun, overwrite)


def test_a_file_is_no_directory_to_write(tmp_path):
    (tmp_path / "file").write_text("mine")
    assert "is no pretraining" in refused(check_vacant, tmp_path / "file", overwrite=True)


def test_the_same_recipe_can_go_on(begun):
    assert standing(begun, RECIPE) == "unfinished"
    (begun / "state").rename(begun / "state.previous")  # killed between two renames
    assert standing(begun, RECIPE) == "unfinished"


def test_there_is_nothing_to_resume_before_the_first_save(begun):
    (begun / "state").rmdir()
    assert "no saved state" in refused(standing, begun, RECIPE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["train.steps=9"], f"train.steps ({RECIPE.train.steps} there, 9 here)"),
        (["seed=1"], "seed (42 there, 1 here)"),
        (["text.files=['/a']"], "text.files (not set there, ['/a'] here)"),
    ],
)
def test_another_recipe_is_told_by_the_keys_that_differ(begun, change, said):
    text = refused(standing, begun, load_pretraining("demo/pretrain", change))
    assert said in text
    assert f"--recipe {begun / 'recipe.toml'}" in text
